use super::{AccountStore, AuditEntry, StoreError};
use crate::sql::{Row, SqlError, args};
use everplay_types::{CustomerId, Role, Roles};
use serde::Serialize;
use serde_json::Value;

/// An account, as the store keeps it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Whose player.
    pub customer: CustomerId,
    /// A UUID.
    pub id: String,
    /// As the player wrote it.
    pub email: Option<String>,
    /// Whether somebody showed to read the mail of that address.
    pub email_confirmed: bool,
    /// Unique within the customer, without regard to case; 3 to 50 characters.
    pub username: String,
    /// Shown to others; 1 to 50 characters.
    pub display_name: String,
    /// `https` only.
    pub avatar_url: Option<String>,
    /// For regional boards.
    pub region: Option<String>,
    /// PHC form. None: no password opens this account.
    pub(crate) password_hash: Option<String>,
    /// Nobody can sign in to it again.
    pub guest: bool,
    /// What the application gave when the account was made.
    pub options: Value,
    /// What it may do.
    pub roles: Roles,
    /// False once it was deleted.
    pub is_active: bool,
    /// Until when it may not sign in; `i64::MAX` for ever.
    pub banned_until: Option<i64>,
    /// Told to the player.
    pub ban_reason: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed last; grows with each change, so it names the version too.
    pub updated_at: i64,
    /// When somebody signed in last.
    pub last_login: Option<i64>,
    /// When it was deleted.
    pub deleted_at: Option<i64>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// It is so.
    Done,
    /// Somebody changed the account meanwhile.
    Meanwhile,
    /// Nobody would have a role any more that somebody must have.
    LastOne,
}

/// An identity of another issuer that opens an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkedIdentity {
    /// The provider, as this server's settings name it.
    pub provider: String,
    /// Names the person at the provider. It alone decides; addresses change hands.
    pub subject: String,
    /// What the provider said, for the player to tell identities apart.
    pub email: Option<String>,
    /// When it was linked.
    pub linked_at: i64,
}

impl User {
    /// Whether a ban is in force.
    pub fn is_banned(&self, now: i64) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }

    fn read(customer: &CustomerId, row: &Row) -> Result<Self, StoreError> {
        let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
        let roles = row.text(12)?;
        Ok(User {
            customer: customer.clone(),
            id: row.text(0)?,
            email: row.opt_text(1)?,
            email_confirmed: row.flag(2)?,
            username: row.text(3)?,
            display_name: row.text(4)?,
            avatar_url: row.opt_text(5)?,
            region: row.opt_text(6)?,
            password_hash: row.opt_text(7)?,
            guest: row.flag(8)?,
            options: json(row.text(9)?),
            is_active: row.flag(10)?,
            banned_until: row.opt_int(11)?,
            // An unknown role of a newer release is no role here.
            roles: roles.split(' ').filter_map(|role| role.parse().ok()).collect(),
            ban_reason: row.opt_text(13)?,
            created_at: row.int(14)?,
            updated_at: row.int(15)?,
            last_login: row.opt_int(16)?,
            deleted_at: row.opt_int(17)?,
        })
    }

    fn roles_text(&self) -> String {
        self.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" ")
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT user_id, email, email_confirmed, username, display_name, avatar_url, region, password_hash, guest, \
             options, is_active, banned_until, roles, ban_reason, created_at, updated_at, last_login, deleted_at \
             FROM users WHERE ",
            $rest
        )
    };
}

/// How many could stand in for somebody with a role: those who have it, and for a customer's admin any admin.
const STAND_INS: &str = "SELECT COUNT(*) FROM users WHERE customer = $1 AND is_active \
     AND (' ' || roles || ' ' LIKE $2 OR ' ' || roles || ' ' LIKE $3)";

fn stand_ins(customer: &CustomerId, role: Role) -> Vec<crate::sql::Value> {
    let or = if role == Role::CustomerAdmin { Role::Admin } else { role };
    args![customer.as_str(), format!("% {} %", role.name()), format!("% {} %", or.name())]
}

impl AccountStore {
    /// A new account. Errors: `Taken` when the address or the name belongs to another.
    pub(crate) async fn insert_user(&self, user: &User) -> Result<(), StoreError> {
        let sql = "INSERT INTO users (customer, user_id, email, email_key, email_confirmed, username, username_key, \
                   display_name, avatar_url, region, password_hash, guest, options, roles, is_active, banned_until, \
                   ban_reason, created_at, updated_at, last_login, deleted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, \
                   $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
        let values = args![
            user.customer.as_str(),
            &user.id,
            user.email.clone(),
            user.email.as_ref().map(|email| email.to_lowercase()),
            user.email_confirmed,
            &user.username,
            user.username.to_lowercase(),
            &user.display_name,
            user.avatar_url.clone(),
            user.region.clone(),
            user.password_hash.clone(),
            user.guest,
            user.options.to_string(),
            user.roles_text(),
            user.is_active,
            user.banned_until,
            user.ban_reason.clone(),
            user.created_at,
            user.updated_at,
            user.last_login,
            user.deleted_at,
        ];
        self.database.execute(sql, values).await.map(drop)
    }

    /// An account; deleted ones too.
    pub async fn user(&self, customer: &CustomerId, id: &str) -> Result<Option<User>, StoreError> {
        let row = self.database.row(select!("customer = $1 AND user_id = $2"), args![customer.as_str(), id]);
        row.await?.map(|row| User::read(customer, &row)).transpose()
    }

    pub(crate) async fn user_by_email(
        &self,
        customer: &CustomerId,
        key: &str,
    ) -> Result<Option<User>, StoreError> {
        let row =
            self.database.row(select!("customer = $1 AND email_key = $2"), args![customer.as_str(), key]);
        row.await?.map(|row| User::read(customer, &row)).transpose()
    }

    /// The account by its unique name, without regard to case.
    pub async fn user_by_name(&self, customer: &CustomerId, name: &str) -> Result<Option<User>, StoreError> {
        let values = args![customer.as_str(), name.to_lowercase()];
        let row = self.database.row(select!("customer = $1 AND username_key = $2"), values).await?;
        row.map(|row| User::read(customer, &row)).transpose()
    }

    /// Puts `user` in the place of the version `read_at`; with its entry in the audit log, if there is one.
    ///
    /// For each of the roles in `lost` somebody must be left who can stand in. Who loses one has an entry: the log has one order,
    /// so of two who step down at once the second sees that the first did. Errors: `Taken` when the address or the name
    /// belongs to another.
    pub(crate) async fn replace_user(
        &self,
        read_at: i64,
        user: &User,
        lost: &[Role],
        audit: Option<&AuditEntry>,
    ) -> Result<Replaced, StoreError> {
        debug_assert!(user.updated_at > read_at, "a change makes a new version");
        debug_assert!(lost.is_empty() || audit.is_some(), "a role is lost by an act that is recorded");
        let mut change = self.database.begin().await?;
        let sql = "UPDATE users SET email = $4, email_key = $5, email_confirmed = $6, username = $7, username_key = $8, \
                   display_name = $9, avatar_url = $10, region = $11, password_hash = $12, guest = $13, options = $14, \
                   roles = $15, is_active = $16, banned_until = $17, ban_reason = $18, updated_at = $19, \
                   last_login = $20, deleted_at = $21 WHERE customer = $1 AND user_id = $2 AND updated_at = $3";
        let values = args![
            user.customer.as_str(),
            &user.id,
            read_at,
            user.email.clone(),
            user.email.as_ref().map(|email| email.to_lowercase()),
            user.email_confirmed,
            &user.username,
            user.username.to_lowercase(),
            &user.display_name,
            user.avatar_url.clone(),
            user.region.clone(),
            user.password_hash.clone(),
            user.guest,
            user.options.to_string(),
            user.roles_text(),
            user.is_active,
            user.banned_until,
            user.ban_reason.clone(),
            user.updated_at,
            user.last_login,
            user.deleted_at,
        ];
        if change.execute(sql, values).await? == 0 {
            return Ok(Replaced::Meanwhile);
        }
        if user.deleted_at.is_some() {
            let whose = || args![user.customer.as_str(), &user.id];
            for sql in [
                "DELETE FROM refresh_tokens WHERE customer = $1 AND login_id IN \
                 (SELECT login_id FROM logins WHERE customer = $1 AND user_id = $2)",
                "DELETE FROM identities WHERE customer = $1 AND user_id = $2",
                "DELETE FROM codes WHERE customer = $1 AND user_id = $2",
                "DELETE FROM factors WHERE customer = $1 AND user_id = $2",
                "DELETE FROM recovery_codes WHERE customer = $1 AND user_id = $2",
            ] {
                change.execute(sql, whose()).await?;
            }
            // They stay until they would have ended, with nothing of the person in them: other processes look for
            // ended logins to close their sockets.
            let sql = "UPDATE logins SET revoked_at = COALESCE(revoked_at, $3), agent = '', network = '' \
                       WHERE customer = $1 AND user_id = $2";
            change.execute(sql, args![user.customer.as_str(), &user.id, user.deleted_at]).await?;
        }
        if let Some(entry) = audit {
            super::audit::append(&mut change, entry).await?;
        }
        for role in lost {
            let left = change.row(STAND_INS, stand_ins(&user.customer, *role)).await?;
            if left.map_or(Ok(0), |row| row.int(0))? == 0 {
                return Ok(Replaced::LastOne);
            }
        }
        change.commit().await?;
        Ok(Replaced::Done)
    }

    /// How many accounts of the customer could do what one with a role does; for the rule that the last admin stays.
    pub(crate) async fn count_stand_ins(&self, customer: &CustomerId, role: Role) -> Result<i64, StoreError> {
        let row = self.database.row(STAND_INS, stand_ins(customer, role)).await?;
        row.map_or(Ok(0), |row| row.int(0))
    }

    /// Links an identity. Errors: `Taken` when it opens an account already.
    pub(crate) async fn link(
        &self,
        customer: &CustomerId,
        user: &str,
        identity: &LinkedIdentity,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO identities (customer, provider, subject, user_id, email, linked_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values = args![
            customer.as_str(),
            &identity.provider,
            &identity.subject,
            user,
            identity.email.clone(),
            identity.linked_at,
        ];
        self.database.execute(sql, values).await.map(drop)
    }

    /// The account an identity opens.
    pub(crate) async fn linked_user(
        &self,
        customer: &CustomerId,
        provider: &str,
        subject: &str,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT user_id FROM identities WHERE customer = $1 AND provider = $2 AND subject = $3";
        let row = self.database.row(sql, args![customer.as_str(), provider, subject]).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// What opens an account beside its password.
    pub async fn identities(
        &self,
        customer: &CustomerId,
        user: &str,
    ) -> Result<Vec<LinkedIdentity>, StoreError> {
        let sql = "SELECT provider, subject, email, linked_at FROM identities \
                   WHERE customer = $1 AND user_id = $2 ORDER BY linked_at, provider";
        let rows = self.database.query(sql, args![customer.as_str(), user]).await?;
        let read = |row: &Row| -> Result<_, SqlError> {
            Ok(LinkedIdentity {
                provider: row.text(0)?,
                subject: row.text(1)?,
                email: row.opt_text(2)?,
                linked_at: row.int(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Unlinks a provider's identities from an account, all of them without a provider; with its entry in the audit log,
    /// if there is one.
    pub(crate) async fn unlink(
        &self,
        customer: &CustomerId,
        user: &str,
        provider: Option<&str>,
        audit: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        let sql =
            "DELETE FROM identities WHERE customer = $1 AND user_id = $2 AND ($3 = '' OR provider = $3)";
        change.execute(sql, args![customer.as_str(), user, provider.unwrap_or_default()]).await?;
        if let Some(entry) = audit {
            super::audit::append(&mut change, entry).await?;
        }
        change.commit().await
    }
}
