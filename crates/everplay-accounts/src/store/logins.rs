use super::{AccountStore, StoreError};
use crate::sql::{Row, args};
use everplay_types::CustomerId;

/// One signing-in. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Names it; not secret.
    pub id: String,
    /// The account.
    pub user: String,
    /// When it began.
    pub created_at: i64,
    /// When its tokens were renewed last.
    pub last_used: i64,
    /// When it ends in any case.
    pub expires_at: i64,
    /// When it was ended.
    pub revoked_at: Option<i64>,
    /// Whether a second factor was shown.
    pub second_factor: bool,
    /// What the program called itself, at most 200 characters.
    pub agent: String,
    /// The network it came from.
    pub network: String,
}

impl Login {
    /// Whether tokens of it are good.
    pub fn is_open(&self, now: i64) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Login {
            id: row.text(0)?,
            user: row.text(1)?,
            created_at: row.int(2)?,
            last_used: row.int(3)?,
            expires_at: row.int(4)?,
            revoked_at: row.opt_int(5)?,
            second_factor: row.flag(6)?,
            agent: row.text(7)?,
            network: row.text(8)?,
        })
    }
}

/// What became of a refresh token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Its successor is in force.
    Renewed(Login),
    /// It was used before, longer ago than two tabs need: somebody copied it. The login is revoked with this call.
    Reused(Login),
    /// Never issued, or expired, or its login ended.
    Unknown,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT login_id, user_id, created_at, last_used, expires_at, revoked_at, second_factor, agent, network \
             FROM logins WHERE ",
            $rest
        )
    };
}

impl AccountStore {
    /// Begins a login with its first refresh token.
    pub(crate) async fn open_login(
        &self,
        customer: &CustomerId,
        login: &Login,
        refresh: &[u8],
    ) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "INSERT INTO logins (customer, login_id, user_id, created_at, last_used, expires_at, revoked_at, \
                   second_factor, agent, network) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let values = args![
            customer.as_str(),
            &login.id,
            &login.user,
            login.created_at,
            login.last_used,
            login.expires_at,
            login.revoked_at,
            login.second_factor,
            &login.agent,
            &login.network,
        ];
        change.execute(sql, values).await?;
        let sql = "UPDATE users SET last_login = $3 WHERE customer = $1 AND user_id = $2";
        change.execute(sql, args![customer.as_str(), &login.user, login.created_at]).await?;
        let sql = "INSERT INTO refresh_tokens (customer, token_hash, login_id, used_at, expires_at) \
                   VALUES ($1, $2, $3, NULL, $4)";
        change.execute(sql, args![customer.as_str(), refresh.to_vec(), &login.id, login.expires_at]).await?;
        change.commit().await
    }

    /// Uses a refresh token and puts `next` in its place.
    ///
    /// Used again within `grace_ms`, it gets another successor in the same login: two tabs renewed at once. Later, the
    /// login is revoked: one of the two who know the token stole it.
    pub(crate) async fn rotate(
        &self,
        customer: &CustomerId,
        token: &[u8],
        next: &[u8],
        now: i64,
        grace_ms: i64,
    ) -> Result<Rotation, StoreError> {
        let mut change = self.database.begin().await?;
        // The update takes the row's lock, so of two that come at once the second sees the first.
        let sql = "UPDATE refresh_tokens SET used_at = COALESCE(used_at, $3) \
                   WHERE customer = $1 AND token_hash = $2 AND expires_at > $3 RETURNING login_id, used_at";
        let Some(row) = change.row(sql, args![customer.as_str(), token.to_vec(), now]).await? else {
            return Ok(Rotation::Unknown);
        };
        let (id, used_at) = (row.text(0)?, row.int(1)?);
        let row =
            change.row(select!("customer = $1 AND login_id = $2"), args![customer.as_str(), &id]).await?;
        let Some(mut login) = row.map(|row| Login::read(&row)).transpose()? else {
            return Ok(Rotation::Unknown);
        };
        if !login.is_open(now) {
            return Ok(Rotation::Unknown);
        }
        if used_at + grace_ms < now {
            let sql = "UPDATE logins SET revoked_at = $3 WHERE customer = $1 AND login_id = $2";
            change.execute(sql, args![customer.as_str(), &id, now]).await?;
            change.commit().await?;
            return Ok(Rotation::Reused(login));
        }
        let sql = "INSERT INTO refresh_tokens (customer, token_hash, login_id, used_at, expires_at) \
                   VALUES ($1, $2, $3, NULL, $4)";
        change.execute(sql, args![customer.as_str(), next.to_vec(), &id, login.expires_at]).await?;
        let sql = "UPDATE logins SET last_used = $3 WHERE customer = $1 AND login_id = $2";
        change.execute(sql, args![customer.as_str(), &id, now]).await?;
        change.commit().await?;
        login.last_used = now;
        Ok(Rotation::Renewed(login))
    }

    pub(crate) async fn login(&self, customer: &CustomerId, id: &str) -> Result<Option<Login>, StoreError> {
        let row = self.database.row(select!("customer = $1 AND login_id = $2"), args![customer.as_str(), id]);
        row.await?.map(|row| Login::read(&row)).transpose()
    }

    /// The logins of an account that are open, the newest first.
    pub async fn logins(
        &self,
        customer: &CustomerId,
        user: &str,
        now: i64,
    ) -> Result<Vec<Login>, StoreError> {
        let sql = select!(
            "customer = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3 \
             ORDER BY created_at DESC, login_id LIMIT 200"
        );
        let rows = self.database.query(sql, args![customer.as_str(), user, now]).await?;
        rows.iter().map(Login::read).collect()
    }

    /// Ends logins of an account: one, or all but `keep`. Returns which.
    pub(crate) async fn revoke_logins(
        &self,
        customer: &CustomerId,
        user: &str,
        only: Option<&str>,
        keep: Option<&str>,
        now: i64,
    ) -> Result<Vec<String>, StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "UPDATE logins SET revoked_at = $5 WHERE customer = $1 AND user_id = $2 AND revoked_at IS NULL \
                   AND ($3 = '' OR login_id = $3) AND login_id <> $4 RETURNING login_id";
        let values = args![customer.as_str(), user, only.unwrap_or_default(), keep.unwrap_or_default(), now];
        let rows = change.query(sql, values).await?;
        change.commit().await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Removes all logins of an account without a trace: their tokens prove nothing from now on, and a socket that
    /// brings one is not turned away for it. Returns which.
    pub(crate) async fn forget_logins(
        &self,
        customer: &CustomerId,
        user: &str,
    ) -> Result<Vec<String>, StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "DELETE FROM refresh_tokens WHERE customer = $1 AND login_id IN \
                   (SELECT login_id FROM logins WHERE customer = $1 AND user_id = $2)";
        change.execute(sql, args![customer.as_str(), user]).await?;
        let sql = "DELETE FROM logins WHERE customer = $1 AND user_id = $2 RETURNING login_id";
        let rows = change.query(sql, args![customer.as_str(), user]).await?;
        change.commit().await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Logins that were ended since then, by whichever process.
    pub(crate) async fn ended_since(&self, since: i64) -> Result<Vec<(CustomerId, String)>, StoreError> {
        let sql =
            "SELECT customer, login_id FROM logins WHERE revoked_at >= $1 ORDER BY revoked_at LIMIT 10000";
        let rows = self.database.query(sql, args![since]).await?;
        let read = |row: &Row| Ok(row.text(0)?.parse().ok().zip(Some(row.text(1)?)));
        rows.iter().filter_map(|row| read(row).transpose()).collect()
    }
}
