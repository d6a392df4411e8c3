//! The account services: what may happen to an account, in which order, and what is told to whom.
//!
//! ```text
//! guest | password | provider -> issue -> access token (15 min) + refresh token (to the login's end, 24 h)
//!                                            |                        '-- renewed: rotated, reuse ends the login
//!                                            '-- verify: signature, then the login as the store knows it
//! ```
//!
//! A token proves which login it belongs to. What the account is and may do is read from the store when the token is
//! used, and kept for a second: so a ban, a lost role or a sign-out holds everywhere within that second, and at once in
//! the process that did it. Whoever keeps sockets open listens to [`Accounts::endings`].

mod factors;
mod profile;
mod recovery;
mod sign_in;
mod social;
mod staff;

pub use profile::{PersonalData, Profile, ProfileChange};
pub use sign_in::{Device, Entrance, SignedIn};
pub use social::{Begun, Outcome, Provider, ProviderKind, Returned, SocialProblem};
pub use staff::IssuedKey;

use crate::access::{Principal, ServerKey};
use crate::clock::{Clock, DAY};
use crate::mail::{Mailer, Outbox};
use crate::password::{Busy, Hasher, PasswordProblem};
use crate::secret::{self, Sealer};
use crate::store::{AccountStore, AuditEntry, Replaced, StoreError, User};
use crate::throttle::{Bound, Throttle};
use crate::token::{BadToken, Keyring, draw_key};
use everplay_types::{CustomerId, Identity, LoginId, Role, Roles};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::broadcast;

/// Longest life of a login, however often its tokens are renewed.
pub const LOGIN_LIFETIME_MS: i64 = DAY;

/// How long what the store said of a login is believed.
const STANDING_MS: i64 = 1_000;

/// Logins whose standing is kept; more, and the old are dropped.
const STANDINGS: usize = 100_000;

/// What the services are made of.
pub struct Parts {
    /// Where accounts are.
    pub store: AccountStore,
    /// Seals what the store holds.
    pub sealer: Sealer,
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// The time.
    pub clock: Clock,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// Providers of identities.
    pub providers: Vec<Provider>,
    /// Others who keep data of players: asked when an account is exported or deleted.
    pub personal: Vec<Arc<dyn PersonalData>>,
    /// Addresses whose accounts become admins once they are confirmed: how the first admin comes to be.
    pub admins: Vec<String>,
}

impl Parts {
    /// The defaults: printed mail, the system's clock, half of the processors for hashing, no providers.
    pub fn new(store: AccountStore, sealer: Sealer) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Parts {
            store,
            sealer,
            mailer: Arc::new(crate::mail::PrintedMail),
            clock: Clock::system(),
            hash_threads: (processors / 2).clamp(1, 4),
            providers: Vec::new(),
            personal: Vec::new(),
            admins: Vec::new(),
        }
    }
}

/// The account services. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: AccountStore,
    sealer: Sealer,
    clock: Clock,
    hasher: Hasher,
    keys: Keyring,
    outbox: Outbox,
    throttle: Throttle,
    standings: Mutex<HashMap<(CustomerId, String), Standing>>,
    key_uses: Mutex<HashMap<(CustomerId, String), (i64, i64)>>,
    endings: broadcast::Sender<Ended>,
    public_url: OnceLock<String>,
    social: social::Social,
    personal: Vec<Arc<dyn PersonalData>>,
    admins: Vec<String>,
    /// When the keys were read last, for tokens of a key we do not know.
    keys_read_at: Mutex<i64>,
}

/// Logins that ended: their sockets are to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub logins: Vec<String>,
}

#[derive(Clone)]
struct Standing {
    at: i64,
    known: Result<Identity, Unverified>,
}

/// Why a token or key proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Not ours, damaged, expired, or its login ended.
    #[error("the token is not valid")]
    Invalid,
    /// Ours and well, but its login was ended: signed out, password changed, banned.
    #[error("the login has ended")]
    Ended,
    /// The store cannot be asked.
    #[error("the account store cannot answer")]
    Unavailable,
}

/// Why a service did not do what it was asked. What is told to a stranger is decided by whoever answers.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The address or the password is wrong; not told which.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    /// Too many tries.
    #[error("too many tries; try again later")]
    Throttled(Duration),
    /// The account may not be used.
    #[error("this account is banned")]
    Banned {
        /// Told to the player.
        reason: String,
        /// Milliseconds since 1970; None for ever.
        until: Option<i64>,
    },
    /// Not an address.
    #[error("this is not an e-mail address")]
    EmailMalformed,
    /// The address belongs to an account.
    #[error("there is an account with this e-mail address")]
    EmailTaken,
    /// The name belongs to an account.
    #[error("this name is taken")]
    NameTaken,
    /// The password cannot be taken.
    #[error(transparent)]
    Password(#[from] PasswordProblem),
    /// A field does not hold what it should.
    #[error("{field}: {problem}")]
    Field {
        /// Its name in requests.
        field: &'static str,
        /// In words.
        problem: &'static str,
    },
    /// A code, link or token that is not good, or no more.
    #[error("the code is wrong or has expired")]
    WrongCode,
    /// It needs a code of the second factor, too.
    #[error("a code of your authenticator is needed to do this")]
    FactorRequired,
    /// It needs a sign-in of a moment ago, or the password.
    #[error("show your password again to do this")]
    StepUp,
    /// There is no such account, login or key.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The asker may not.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// It contradicts what is so.
    #[error("{0}")]
    Conflict(&'static str),
    /// No thread is free to hash.
    #[error("too many passwords are being checked")]
    Busy,
    /// A provider did not confirm who it is.
    #[error(transparent)]
    Social(#[from] SocialProblem),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Busy> for AccountError {
    fn from(_: Busy) -> Self {
        AccountError::Busy
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("store", &self.0.store).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Reads or makes the signing keys and starts the tasks that send mail and look after what expires; they end with
    /// the last clone. Call it inside a runtime.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let hasher = Hasher::start(parts.hash_threads);
        let inner = Inner {
            store: parts.store,
            sealer: parts.sealer,
            clock: parts.clock,
            hasher: hasher.map_err(|error| StoreError::Unavailable(format!("no thread to hash: {error}")))?,
            keys: Keyring::new(),
            outbox: Outbox::start(parts.mailer),
            throttle: Throttle::default(),
            standings: Mutex::default(),
            key_uses: Mutex::default(),
            endings: broadcast::channel(1024).0,
            public_url: OnceLock::new(),
            social: social::Social::new(parts.providers),
            personal: parts.personal,
            admins: parts.admins.iter().map(|email| email.to_lowercase()).collect(),
            keys_read_at: Mutex::new(i64::MIN),
        };
        let accounts = Accounts(Arc::new(inner));
        accounts.look_after_keys().await?;
        for email in accounts.0.admins.clone() {
            accounts.appoint_if_there(&CustomerId::default(), &email).await?;
        }
        tokio::spawn(look_after(Arc::downgrade(&accounts.0)));
        if accounts.0.store.is_shared() {
            tokio::spawn(hear_of_endings(Arc::downgrade(&accounts.0)));
        }
        Ok(accounts)
    }

    /// Tells under which address players reach this server, without a slash at the end. Links in mails and the return
    /// from providers lead there; it is never taken from a request, which could name any host.
    pub fn serve_at(&self, public_url: &str) {
        // The first one stays: a server has one address for its whole life.
        let _ = self.0.public_url.set(public_url.trim_end_matches('/').to_owned());
    }

    /// The address told to [`serve_at`](Self::serve_at).
    pub fn public_url(&self) -> &str {
        self.0.public_url.get().map_or("http://127.0.0.1:2567", String::as_str)
    }

    /// The store, to read.
    pub fn store(&self) -> &AccountStore {
        &self.0.store
    }

    /// The time that rows and tokens are made by.
    pub fn now(&self) -> i64 {
        self.0.clock.now()
    }

    /// Logins that end from now on. Who is too slow to listen misses some; tokens are checked all the same.
    pub fn endings(&self) -> broadcast::Receiver<Ended> {
        self.0.endings.subscribe()
    }

    /// The public signing keys, as a JWK set.
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keys.jwks()
    }

    /// Whose token or key this is, now.
    pub async fn verify(&self, bearer: &str) -> Result<Principal, Unverified> {
        if let Some(key) = bearer.strip_prefix(staff::KEY_PREFIX) {
            return self.verify_key(key).await.map(Principal::Server);
        }
        let claims = self.read(bearer, false).await?;
        self.standing(&claims).await.map(Principal::Player)
    }

    /// Whose token this is, for a seat in a room. While the store is away the token alone is believed, for playing and
    /// nothing else: a match is worth more than the last second of a ban.
    ///
    /// With `was_good`, a token that has expired counts as long as its login is open: a socket that comes back to its
    /// seat brings the token it had.
    pub async fn verify_for_play(&self, token: &str, was_good: bool) -> Result<Identity, Unverified> {
        let claims = self.read(token, was_good).await?;
        match self.standing(&claims).await {
            Err(Unverified::Unavailable) => claimed(claims).ok_or(Unverified::Invalid),
            known => known,
        }
    }

    /// Whose token this is by its signature alone, without a question to the store: enough to show what anybody may see, in
    /// the words for whoever asks. It may do nothing: its login may have ended, and no role is told.
    pub fn believe(&self, token: &str) -> Option<Identity> {
        claimed(self.0.keys.read(token, self.now(), false).ok()?)
    }

    async fn read(&self, token: &str, expired_too: bool) -> Result<crate::token::Claims, Unverified> {
        let now = self.now();
        match self.0.keys.read(token, now, expired_too) {
            Err(BadToken::UnknownKey) => {
                // A key that another node made. At most one look a second, whatever strangers send.
                {
                    let mut read_at = self.0.keys_read_at.lock();
                    if now < *read_at + 1_000 {
                        return Err(Unverified::Invalid);
                    }
                    *read_at = now;
                }
                self.read_keys().await.map_err(|_| Unverified::Unavailable)?;
                self.0.keys.read(token, now, expired_too).map_err(|_| Unverified::Invalid)
            }
            read => read.map_err(|_| Unverified::Invalid),
        }
    }

    async fn standing(&self, claims: &crate::token::Claims) -> Result<Identity, Unverified> {
        let now = self.now();
        let customer: CustomerId = claims.cus.parse().map_err(|_| Unverified::Invalid)?;
        let key = (customer, claims.sid.clone());
        if let Some(standing) = self.0.standings.lock().get(&key)
            && now - standing.at < STANDING_MS
        {
            return standing.known.clone().and_then(|identity| belongs(identity, claims));
        }
        let known = self.look_up(&key.0, &key.1, now).await;
        if known != Err(Unverified::Unavailable) {
            let mut standings = self.0.standings.lock();
            if standings.len() >= STANDINGS {
                standings.retain(|_, standing| now - standing.at < STANDING_MS);
            }
            standings.insert(key, Standing { at: now, known: known.clone() });
        }
        known.and_then(|identity| belongs(identity, claims))
    }

    async fn look_up(&self, customer: &CustomerId, login: &str, now: i64) -> Result<Identity, Unverified> {
        let away = |error: StoreError| {
            tracing::warn!(%error, "a token could not be checked");
            Unverified::Unavailable
        };
        let login = self.0.store.login(customer, login).await.map_err(away)?.ok_or(Unverified::Invalid)?;
        if login.revoked_at.is_some() {
            return Err(Unverified::Ended);
        }
        if !login.is_open(now) {
            return Err(Unverified::Invalid);
        }
        let user =
            self.0.store.user(customer, &login.user).await.map_err(away)?.ok_or(Unverified::Invalid)?;
        if !user.is_active || user.is_banned(now) {
            return Err(Unverified::Ended);
        }
        identity_of(&user, &login.id, login.second_factor).ok_or(Unverified::Invalid)
    }

    /// Whether a login is open, as far as the store can say; while it cannot, yes.
    pub async fn is_open(&self, customer: &CustomerId, login: &str) -> bool {
        !matches!(self.look_up(customer, login, self.now()).await, Err(Unverified::Ended))
    }

    /// Forgets what the store said of logins, and tells that they ended.
    fn ended(&self, customer: &CustomerId, logins: Vec<String>, keep_sockets: Option<&str>) {
        {
            let mut standings = self.0.standings.lock();
            for login in &logins {
                standings.remove(&(customer.clone(), login.clone()));
            }
        }
        let logins: Vec<_> =
            logins.into_iter().filter(|login| Some(login.as_str()) != keep_sockets).collect();
        if !logins.is_empty() {
            // Nobody may be listening.
            let _ = self.0.endings.send(Ended { customer: customer.clone(), logins });
        }
    }

    /// Ends all logins of an account but `keep`.
    async fn end_all(
        &self,
        customer: &CustomerId,
        user: &str,
        keep: Option<&str>,
    ) -> Result<usize, StoreError> {
        let ended = self.0.store.revoke_logins(customer, user, None, keep, self.now()).await?;
        let count = ended.len();
        self.ended(customer, ended, None);
        Ok(count)
    }

    /// Forgets what is known of an account's logins, because what it may do has changed.
    fn forget(&self, customer: &CustomerId, user: &str) {
        self.0.standings.lock().retain(|(of, _), standing| {
            of != customer || standing.known.as_ref().is_ok_and(|identity| identity.id.as_str() != user)
        });
    }

    /// Changes an account from the version it has; tried again when somebody else was first.
    async fn change(
        &self,
        customer: &CustomerId,
        id: &str,
        audit: Option<AuditEntry>,
        mut change: impl FnMut(&mut User) -> Result<(), AccountError>,
    ) -> Result<User, AccountError> {
        for _ in 0..5 {
            let before = self.0.store.user(customer, id).await?.filter(|user| user.is_active);
            let before = before.ok_or(AccountError::NotFound("account"))?;
            let mut user = before.clone();
            change(&mut user)?;
            user.updated_at = self.now().max(before.updated_at + 1);
            let lost = [Role::Admin, Role::CustomerAdmin]
                .into_iter()
                .filter(|role| before.roles.has(*role) && !user.roles.has(*role));
            let lost: Vec<_> = lost.collect();
            match self.0.store.replace_user(before.updated_at, &user, &lost, audit.as_ref()).await? {
                Replaced::Done => {
                    self.forget(customer, id);
                    return Ok(user);
                }
                Replaced::LastOne => return Err(AccountError::Conflict("the last admin stays")),
                Replaced::Meanwhile => {}
            }
        }
        Err(AccountError::Conflict("the account is being changed by others at the same time"))
    }

    fn entry(
        &self,
        customer: &CustomerId,
        actor: String,
        action: &'static str,
        target: &str,
        details: serde_json::Value,
    ) -> AuditEntry {
        AuditEntry {
            customer: customer.clone(),
            at: self.now(),
            actor,
            action,
            target: target.to_owned(),
            details,
        }
    }

    fn throttled(&self, key: &str, bound: Bound) -> Result<(), AccountError> {
        self.0.throttle.check(key, bound, self.now()).map_err(AccountError::Throttled)
    }

    /// One of a bounded number of tries: refused beyond them, and counted unless it fits or nothing came of it. Tries at
    /// the same time count while they are looked at.
    async fn one_try(
        &self,
        key: &str,
        bound: Bound,
        attempt: impl Future<Output = Result<bool, AccountError>>,
        refusal: AccountError,
    ) -> Result<(), AccountError> {
        self.0.throttle.take(key, bound, self.now()).map_err(AccountError::Throttled)?;
        let fits = attempt.await;
        if !matches!(fits, Ok(false)) {
            self.0.throttle.give_back(key);
        }
        if fits? { Ok(()) } else { Err(refusal) }
    }

    async fn read_keys(&self) -> Result<(), StoreError> {
        let stored = self.0.store.signing_keys().await?;
        let strange = self.0.keys.load(&stored, &self.0.sealer);
        if strange > 0 {
            tracing::error!(
                keys = strange,
                "signing keys were sealed with another secret: their tokens are refused"
            );
        }
        Ok(())
    }

    /// Reads the keys, and makes one when it is time.
    async fn look_after_keys(&self) -> Result<(), StoreError> {
        self.read_keys().await?;
        let now = self.now();
        if self.0.keys.wants_key(now) {
            let key = draw_key(&self.0.sealer, now);
            self.0.store.add_signing_key(&key, Keyring::forgotten_before(now)).await?;
            tracing::info!(key.id = key.id, "a signing key was made");
            self.read_keys().await?;
        }
        Ok(())
    }

    /// Writes down what is counted in memory. Call it last.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.flush_key_uses().await
    }

    /// What has to be done from time to time: keys, and what has expired. The task does it every few minutes.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        self.look_after_keys().await?;
        self.flush_key_uses().await?;
        self.0.store.sweep(self.now()).await
    }
}

/// How often a node looks for logins that others ended.
const LISTEN: Duration = Duration::from_secs(1);

/// How far back it looks: clocks of nodes differ, and an answer may be late. What is heard twice changes nothing.
const LISTEN_BACK_MS: i64 = 10_000;

/// Tells this process of logins that others ended, so that their sockets here are closed too.
async fn hear_of_endings(accounts: Weak<Inner>) {
    loop {
        tokio::time::sleep(LISTEN).await;
        let Some(inner) = accounts.upgrade() else { return };
        let accounts = Accounts(inner);
        match accounts.0.store.ended_since(accounts.now() - LISTEN_BACK_MS).await {
            Ok(ended) => {
                for (customer, login) in ended {
                    accounts.ended(&customer, vec![login], None);
                }
            }
            Err(error) => tracing::warn!(%error, "logins that others ended are not known, trying again"),
        }
    }
}

/// How often uses of keys are written down: what a crash forgets of them.
const ROUND: Duration = Duration::from_secs(5);

/// Rounds between two looks at keys and at what has expired: five minutes, half of the time a key is listed early.
const MAINTENANCE_ROUNDS: u64 = 60;

async fn look_after(accounts: Weak<Inner>) {
    let mut rounds: u64 = 0;
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(inner) = accounts.upgrade() else { return };
        let accounts = Accounts(inner);
        rounds += 1;
        let done = if rounds.is_multiple_of(MAINTENANCE_ROUNDS) {
            accounts.maintain().await
        } else {
            accounts.flush_key_uses().await
        };
        if let Err(error) = done {
            tracing::warn!(%error, "accounts could not be looked after, trying again");
        }
    }
}

/// Who a token says it is.
fn claimed(claims: crate::token::Claims) -> Option<Identity> {
    Some(Identity {
        customer: claims.cus.parse().ok()?,
        id: claims.sub.parse().ok()?,
        login: claims.sid.parse().ok()?,
        name: claims.name,
        guest: claims.guest,
        roles: Roles::default(),
        second_factor: false,
    })
}

fn belongs(identity: Identity, claims: &crate::token::Claims) -> Result<Identity, Unverified> {
    if identity.id.as_str() == claims.sub { Ok(identity) } else { Err(Unverified::Invalid) }
}

fn identity_of(user: &User, login: &str, second_factor: bool) -> Option<Identity> {
    Some(Identity {
        customer: user.customer.clone(),
        id: user.id.parse().ok()?,
        login: LoginId::new(login).ok()?,
        name: user.display_name.clone(),
        guest: user.guest,
        roles: user.roles.clone(),
        second_factor,
    })
}

/// A key of a server that was presented, without its prefix: `customer.id.secret`.
impl Accounts {
    async fn verify_key(&self, text: &str) -> Result<ServerKey, Unverified> {
        let mut parts = text.splitn(3, '.');
        let (customer, id, secret) = match (parts.next(), parts.next(), parts.next()) {
            (Some(customer), Some(id), Some(secret)) => (customer, id, secret),
            _ => return Err(Unverified::Invalid),
        };
        let customer: CustomerId = customer.parse().map_err(|_| Unverified::Invalid)?;
        let now = self.now();
        let stored = self.0.store.api_key(&customer, id).await.map_err(|_| Unverified::Unavailable)?;
        let stored = stored.ok_or(Unverified::Invalid)?;
        let presented = secret::digest(secret);
        let fits = presented == stored.secret
            || stored.previous.is_some_and(|(hash, until)| now < until && presented == hash);
        let open = stored.key.revoked_at.is_none() && stored.key.expires_at.is_none_or(|at| now < at);
        if !fits || !open {
            return Err(Unverified::Invalid);
        }
        {
            let mut uses = self.0.key_uses.lock();
            let (count, last) = uses.entry((customer.clone(), id.to_owned())).or_insert((0, now));
            *count += 1;
            *last = now;
        }
        Ok(ServerKey { customer, key: stored.key.id, scopes: stored.key.scopes })
    }

    async fn flush_key_uses(&self) -> Result<(), StoreError> {
        let uses = std::mem::take(&mut *self.0.key_uses.lock());
        if uses.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = uses
            .iter()
            .map(|((customer, id), (count, last))| (customer.clone(), id.clone(), *count, *last))
            .collect();
        if let Err(error) = self.0.store.count_uses(rows).await {
            let mut present = self.0.key_uses.lock();
            for (key, (count, last)) in uses {
                let entry = present.entry(key).or_insert((0, last));
                entry.0 += count;
            }
            return Err(error);
        }
        Ok(())
    }
}
