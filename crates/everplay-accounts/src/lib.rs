//! Who plays: accounts, sign-ins, roles, keys of servers, and the record of privileged acts.
mod access;
mod clock;
mod mail;
mod password;
mod secret;
mod service;
mod sql;
mod store;
mod throttle;
mod token;

pub use access::{Permission, Principal, ServerKey, allows};
pub use clock::Clock;
pub use mail::{Letter, Mailer, PrintedMail, SmtpMail};
pub use password::{MAX_BYTES, MIN_LENGTH, PasswordProblem};
pub use secret::{NotOurs, Sealer};
pub use service::{
    AccountError, Accounts, Begun, Device, Ended, Entrance, IssuedKey, LOGIN_LIFETIME_MS, Outcome, Parts,
    PersonalData, Profile, ProfileChange, Provider, ProviderKind, Returned, SignedIn, SocialProblem,
    Unverified,
};
#[cfg(feature = "postgres")]
pub use sql::PostgresError;
pub use sql::SqlError;
pub use store::{
    AccountStore, ApiKey, AuditEntry, AuditRecord, BrokenChain, LinkedIdentity, Login, OpenError,
    SaidService, ServiceWord, StoreError, User,
};
pub use token::{ACCESS_LIFETIME_MS, KEY_LIFETIME_MS};

/// A future of a port: boxed, because ports are trait objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
