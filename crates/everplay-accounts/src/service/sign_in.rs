//! The ways in, renewing, and the ways out.

use super::{AccountError, Accounts, LOGIN_LIFETIME_MS, identity_of};
use crate::clock::{MINUTE, SECOND};
use crate::mail::address_key;
use crate::password;
use crate::secret::{digest, draw, draw_uuid};
use crate::store::{Code, Login, Rotation, StoreError, User};
use crate::throttle::Bound;
use crate::token::{ACCESS_LIFETIME_MS, Claims};
use everplay_types::{CustomerId, Identity, Roles};
use serde_json::{Map, Value};

/// Wrong passwords for one address from one network.
const GUESSES: Bound = Bound { failures: 10, window_ms: 15 * MINUTE };
/// Wrong passwords for one address from everywhere. Networks the account was used from lately are exempt.
const GUESSES_FROM_ALL: Bound = Bound { failures: 100, window_ms: 15 * MINUTE };
/// Wrong passwords from one network, for whatever address.
const STUFFING: Bound = Bound { failures: 50, window_ms: 15 * MINUTE };
/// Accounts made from one network, guests included: a class behind one router, and no flood.
const NEW_ACCOUNTS: Bound = Bound { failures: 60, window_ms: 10 * MINUTE };
/// Addresses that were found taken, by one network when registering or by one account that changes its own: else that would
/// tell who has an account.
pub(super) const TAKEN_ADDRESSES: Bound = Bound { failures: 10, window_ms: 60 * MINUTE };

/// Time in which a used refresh token still works: two tabs of one browser renew at once.
const REFRESH_GRACE_MS: i64 = 10 * SECOND;

/// Time to show the second factor after the password.
const CHALLENGE_MS: i64 = 5 * MINUTE;

const _: () = assert!(ACCESS_LIFETIME_MS < LOGIN_LIFETIME_MS, "a token does not outlive its login by much");

/// Largest options, as JSON.
const OPTIONS_BYTES: usize = 4096;

/// What a request comes from, as sign-ins are listed and failures counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// What the program calls itself.
    pub agent: String,
    /// Its network.
    pub network: String,
}

/// Somebody is in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub identity: Identity,
    /// The account.
    pub user: User,
    /// Proves it for [`ACCESS_LIFETIME_MS`].
    pub access_token: String,
    /// Gets the next two.
    pub refresh_token: String,
    /// When the login ends in any case.
    pub expires_at: i64,
}

/// What a right password comes to.
#[derive(Debug, Clone)]
pub enum Entrance {
    /// In.
    Open(Box<SignedIn>),
    /// The second factor is asked for; the challenge comes back with a code of it.
    SecondFactor {
        /// Good for five minutes.
        challenge: String,
    },
}

impl Accounts {
    /// A new guest.
    pub async fn guest(
        &self,
        customer: &CustomerId,
        options: Value,
        device: &Device,
    ) -> Result<SignedIn, AccountError> {
        let options = checked(options)?;
        self.count_newcomer(customer, device)?;
        let user = self.insert(self.blank(customer, options)).await?;
        metrics::counter!("everplay_accounts_sign_ins_total", "way" => "guest").increment(1);
        Ok(self.issue(&user, device, false).await?)
    }

    /// A new account with a password, or a guest's account that gets one and keeps all it has.
    pub async fn register(
        &self,
        customer: &CustomerId,
        email: &str,
        password: &str,
        options: Value,
        guest: Option<&Identity>,
        device: &Device,
    ) -> Result<SignedIn, AccountError> {
        let options = checked(options)?;
        let key = address_key(email).ok_or(AccountError::EmailMalformed)?;
        password::check(password, &[email])?;
        let taken = format!("taken {customer} {}", device.network);
        self.throttled(&taken, TAKEN_ADDRESSES)?;
        if guest.is_none() {
            self.count_newcomer(customer, device)?;
        }
        // Hashed before anything is looked up: a taken address takes as long as a free one.
        let hash = self.0.hasher.hash(password).await?;
        let refused = |error: AccountError| {
            if matches!(error, AccountError::EmailTaken) {
                self.0.throttle.failed(&taken, TAKEN_ADDRESSES, self.now());
            }
            error
        };
        if self.0.store.user_by_email(customer, &key).await?.is_some() {
            return Err(refused(AccountError::EmailTaken));
        }
        let user = match guest {
            Some(identity) => {
                if !identity.guest {
                    return Err(AccountError::Conflict("this account has a password or a provider already"));
                }
                let upgrade = |user: &mut User| {
                    if !user.guest {
                        return Err(AccountError::Conflict(
                            "this account has a password or a provider already",
                        ));
                    }
                    user.email = Some(email.to_owned());
                    user.email_confirmed = false;
                    user.password_hash = Some(hash.clone());
                    user.guest = false;
                    if let (Value::Object(old), Value::Object(new)) = (&mut user.options, &options) {
                        old.extend(new.clone());
                    }
                    if let Some(name) = name_in(&options) {
                        user.display_name = name;
                    }
                    Ok(())
                };
                self.change(customer, &identity.id, None, upgrade)
                    .await
                    .map_err(email_taken)
                    .map_err(refused)?
            }
            None => {
                let mut user = self.blank(customer, options);
                user.email = Some(email.to_owned());
                user.password_hash = Some(hash);
                user.guest = false;
                if user.display_name.starts_with("Guest ") {
                    user.display_name = user.username.clone();
                }
                self.insert(user).await.map_err(refused)?
            }
        };
        self.send_confirmation(&user).await?;
        if let Some(identity) = guest {
            // What a guest's token could do is not what an account's can: the old logins end. The game that is being
            // played goes on.
            let ended = self.0.store.forget_logins(customer, &user.id).await?;
            self.ended(customer, ended, Some(&identity.login));
        }
        metrics::counter!("everplay_accounts_sign_ins_total", "way" => "register").increment(1);
        Ok(self.issue(&user, device, false).await?)
    }

    /// With address and password.
    pub async fn sign_in(
        &self,
        customer: &CustomerId,
        email: &str,
        password: &str,
        device: &Device,
    ) -> Result<Entrance, AccountError> {
        let key = address_key(email).ok_or(AccountError::EmailMalformed)?;
        let here = format!("login {customer} {key} {}", device.network);
        let everywhere = format!("login {customer} {key}");
        let network = format!("login from {}", device.network);
        self.throttled(&here, GUESSES)?;
        self.throttled(&network, STUFFING)?;
        let user = self.0.store.user_by_email(customer, &key).await?.filter(|user| user.is_active);
        if let Err(refusal) = self.throttled(&everywhere, GUESSES_FROM_ALL) {
            // The owner comes from where they came before; only strangers wait.
            let logins = match &user {
                Some(user) => self.0.store.logins(customer, &user.id, self.now()).await?,
                None => Vec::new(),
            };
            if !logins.iter().any(|login| login.network == device.network) {
                return Err(refusal);
            }
        }
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        // Counted before it is looked at: many guesses at the same time are not more than the bound.
        self.0.throttle.take(&here, GUESSES, self.now()).map_err(AccountError::Throttled)?;
        let verdict = self.0.hasher.verify(password, hash).await.inspect_err(|_| {
            self.0.throttle.give_back(&here);
        })?;
        let Some(user) = user.filter(|_| verdict.fits) else {
            let now = self.now();
            self.0.throttle.failed(&everywhere, GUESSES_FROM_ALL, now);
            self.0.throttle.failed(&network, STUFFING, now);
            metrics::counter!("everplay_accounts_refusals_total", "reason" => "credentials").increment(1);
            return Err(AccountError::InvalidCredentials);
        };
        self.0.throttle.forget(&here);
        if verdict.outdated {
            let hash = self.0.hasher.hash(password).await?;
            self.change(customer, &user.id, None, |user| {
                user.password_hash = Some(hash.clone());
                Ok(())
            })
            .await?;
        }
        self.admit(&user, device, "password").await
    }

    /// After the first proof of who it is: the ban, the second factor, then in.
    pub(super) async fn admit(
        &self,
        user: &User,
        device: &Device,
        way: &'static str,
    ) -> Result<Entrance, AccountError> {
        self.not_banned(user)?;
        let factor = self.0.store.factor(&user.customer, &user.id).await?;
        if factor.is_some_and(|factor| factor.confirmed) {
            let challenge = draw();
            let code = Code {
                purpose: "challenge",
                user: user.id.clone(),
                payload: way.to_owned(),
                expires_at: self.now() + CHALLENGE_MS,
            };
            self.0.store.put_code(&user.customer, &digest(&challenge), &code).await?;
            return Ok(Entrance::SecondFactor { challenge });
        }
        metrics::counter!("everplay_accounts_sign_ins_total", "way" => way).increment(1);
        Ok(Entrance::Open(Box::new(self.issue(user, device, false).await?)))
    }

    /// With the challenge and a code of the second factor, or a recovery code.
    pub async fn sign_in_with_code(
        &self,
        customer: &CustomerId,
        challenge: &str,
        code: &str,
        device: &Device,
    ) -> Result<SignedIn, AccountError> {
        let hash = digest(challenge);
        let found = self.0.store.code(customer, &hash, "challenge", self.now()).await?;
        let found = found.ok_or(AccountError::WrongCode)?;
        self.check_factor(customer, &found.user, code).await?;
        let taken = self.0.store.take_code(customer, &hash, "challenge", self.now()).await?;
        taken.ok_or(AccountError::WrongCode)?;
        let user = self.0.store.user(customer, &found.user).await?.filter(|user| user.is_active);
        let user = user.ok_or(AccountError::WrongCode)?;
        self.not_banned(&user)?;
        metrics::counter!("everplay_accounts_sign_ins_total", "way" => "second factor").increment(1);
        Ok(self.issue(&user, device, true).await?)
    }

    /// The next two tokens of a login. Errors: `WrongCode` when the token is not good; then the login has ended if
    /// somebody used the token before.
    pub async fn renew(&self, customer: &CustomerId, refresh_token: &str) -> Result<SignedIn, AccountError> {
        let next = draw();
        let now = self.now();
        let rotation = self
            .0
            .store
            .rotate(customer, &digest(refresh_token), &digest(&next), now, REFRESH_GRACE_MS)
            .await?;
        let login = match rotation {
            Rotation::Renewed(login) => login,
            Rotation::Unknown => return Err(AccountError::WrongCode),
            Rotation::Reused(login) => {
                metrics::counter!("everplay_accounts_refusals_total", "reason" => "refresh reuse")
                    .increment(1);
                tracing::warn!(
                    account.id = login.user,
                    login.id = login.id,
                    "a refresh token was used twice; its login ended"
                );
                self.ended(customer, vec![login.id], None);
                return Err(AccountError::WrongCode);
            }
        };
        let user = self.0.store.user(customer, &login.user).await?.filter(|user| user.is_active);
        let user = user.ok_or(AccountError::WrongCode)?;
        self.not_banned(&user)?;
        Ok(self.tokens(user, &login, next)?)
    }

    /// Ends the login the asker came with.
    pub async fn sign_out(&self, identity: &Identity) -> Result<(), AccountError> {
        self.end_login(identity, &identity.login).await
    }

    /// Ends the login a refresh token belongs to: for somebody whose access token has expired meanwhile.
    pub async fn sign_out_with(
        &self,
        customer: &CustomerId,
        refresh_token: &str,
    ) -> Result<(), AccountError> {
        let now = self.now();
        let (token, next) = (digest(refresh_token), digest(&draw()));
        match self.0.store.rotate(customer, &token, &next, now, REFRESH_GRACE_MS).await? {
            Rotation::Unknown => Err(AccountError::WrongCode),
            Rotation::Reused(login) => {
                self.ended(customer, vec![login.id], None);
                Ok(())
            }
            Rotation::Renewed(login) => {
                let ended =
                    self.0.store.revoke_logins(customer, &login.user, Some(&login.id), None, now).await?;
                self.ended(customer, ended, None);
                Ok(())
            }
        }
    }

    /// Ends one login of the asker's account.
    pub async fn end_login(&self, identity: &Identity, login: &str) -> Result<(), AccountError> {
        let customer = &identity.customer;
        let ended = self.0.store.revoke_logins(customer, &identity.id, Some(login), None, self.now()).await?;
        if ended.is_empty() {
            return Err(AccountError::NotFound("login"));
        }
        self.ended(customer, ended, None);
        Ok(())
    }

    /// Ends all logins of the asker's account, or all but the one they came with. Returns how many.
    pub async fn end_logins(&self, identity: &Identity, keep_this: bool) -> Result<usize, AccountError> {
        let keep = keep_this.then_some(identity.login.as_str());
        Ok(self.end_all(&identity.customer, &identity.id, keep).await?)
    }

    /// The open logins of the asker's account.
    pub async fn logins(&self, identity: &Identity) -> Result<Vec<Login>, AccountError> {
        Ok(self.0.store.logins(&identity.customer, &identity.id, self.now()).await?)
    }

    /// Bounds new accounts by network. This machine is exempt, as from the bound on sockets: a proxy, a load generator and a
    /// developer's browser all come from there.
    fn count_newcomer(&self, customer: &CustomerId, device: &Device) -> Result<(), AccountError> {
        if device.network.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()) {
            return Ok(());
        }
        let key = format!("new {customer} {}", device.network);
        self.0.throttle.take(&key, NEW_ACCOUNTS, self.now()).map_err(AccountError::Throttled)
    }

    pub(super) fn not_banned(&self, user: &User) -> Result<(), AccountError> {
        if !user.is_banned(self.now()) {
            return Ok(());
        }
        Err(AccountError::Banned {
            reason: user.ban_reason.clone().unwrap_or_default(),
            until: user.banned_until.filter(|until| *until != i64::MAX),
        })
    }

    /// Begins a login.
    pub(super) async fn issue(
        &self,
        user: &User,
        device: &Device,
        second_factor: bool,
    ) -> Result<SignedIn, StoreError> {
        let now = self.now();
        let login = Login {
            id: draw_uuid(),
            user: user.id.clone(),
            created_at: now,
            last_used: now,
            expires_at: now + LOGIN_LIFETIME_MS,
            revoked_at: None,
            second_factor,
            agent: device.agent.chars().filter(|c| !c.is_control()).take(200).collect(),
            network: device.network.clone(),
        };
        let refresh = draw();
        self.0.store.open_login(&user.customer, &login, &digest(&refresh)).await?;
        self.tokens(user.clone(), &login, refresh)
    }

    fn tokens(&self, user: User, login: &Login, refresh_token: String) -> Result<SignedIn, StoreError> {
        let broken = || StoreError::Unavailable("there is no key to sign with".to_owned());
        let identity = identity_of(&user, &login.id, login.second_factor).ok_or_else(broken)?;
        let now = self.now();
        let access_token = self.0.keys.sign(&Claims::new(&identity, now), now).ok_or_else(broken)?;
        Ok(SignedIn { identity, user, access_token, refresh_token, expires_at: login.expires_at })
    }

    /// A guest that is not in the store yet.
    pub(super) fn blank(&self, customer: &CustomerId, options: Value) -> User {
        let id = draw_uuid();
        let number: u32 = rand::random_range(1000..10_000);
        let now = self.now();
        User {
            customer: customer.clone(),
            email: None,
            email_confirmed: false,
            // Unique: names are looked up by it. 48 bits, and the insert tells when they were not enough.
            username: format!("player-{}", id.split('-').next_back().unwrap_or(&id)),
            display_name: name_in(&options).unwrap_or_else(|| format!("Guest {number}")),
            avatar_url: None,
            region: None,
            password_hash: None,
            guest: true,
            options,
            roles: Roles::default(),
            is_active: true,
            banned_until: None,
            ban_reason: None,
            created_at: now,
            updated_at: now,
            last_login: None,
            deleted_at: None,
            id,
        }
    }

    pub(super) async fn insert(&self, user: User) -> Result<User, AccountError> {
        self.0.store.insert_user(&user).await.map_err(AccountError::Store).map_err(email_taken)?;
        Ok(user)
    }
}

pub(super) fn email_taken(error: AccountError) -> AccountError {
    match error {
        AccountError::Store(StoreError::Taken) => AccountError::EmailTaken,
        other => other,
    }
}

/// Options are kept for the application: a bounded object, or nothing.
fn checked(options: Value) -> Result<Value, AccountError> {
    let problem = |problem| AccountError::Field { field: "options", problem };
    match options {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) if options.to_string().len() <= OPTIONS_BYTES => Ok(options),
        Value::Object(_) => Err(problem("at most 4096 bytes of JSON")),
        _ => Err(problem("must be an object")),
    }
}

fn name_in(options: &Value) -> Option<String> {
    let given = ["displayName", "name", "username"].iter().find_map(|key| options.get(key)?.as_str());
    given.and_then(super::profile::display_name)
}
