//! The second factor: codes of an authenticator (TOTP, RFC 6238), and recovery codes for when it is lost.
//!
//! A step counts once: a code that was seen over a shoulder is of no use. Six digits are guessed in a million tries, so
//! tries are few.

use super::{AccountError, Accounts};
use crate::clock::{MINUTE, SECOND};
use crate::secret::digest;
use crate::throttle::Bound;
use everplay_types::{CustomerId, Identity};
use serde_json::json;
use totp_rs::{Builder, Totp};

/// Wrong codes of one account, from wherever.
const TRIES: Bound = Bound { failures: 5, window_ms: 15 * MINUTE };

/// Recovery codes of an account.
const RECOVERY_CODES: usize = 10;

fn totp(seed: &[u8], name: &str) -> Option<Totp> {
    // The separator of the URL's label; everything else is escaped.
    let name = name.replace(':', " ");
    let builder = Builder::new().with_secret(seed.to_vec()).with_skew(1).with_account_name(name);
    builder.with_issuer(Some("Everplay")).build().ok()
}

fn place(customer: &CustomerId, user: &str) -> String {
    format!("second factor {customer} {user}")
}

impl Accounts {
    /// Begins an authenticator; returns the `otpauth:` URL for it. It counts once a code of it was shown.
    pub async fn begin_factor(&self, identity: &Identity, password: &str) -> Result<String, AccountError> {
        if identity.guest {
            return Err(AccountError::NotAllowed("a guest has no sign-in to protect"));
        }
        let user = self.show_password(identity, password).await?;
        let seed: [u8; 20] = rand::random();
        let sealed = self.0.sealer.seal(&place(&user.customer, &user.id), &seed);
        if !self.0.store.begin_factor(&user.customer, &user.id, &sealed).await? {
            return Err(AccountError::Conflict("this account has an authenticator; remove it first"));
        }
        let name = user.email.as_deref().unwrap_or(&user.username);
        totp(&seed, name).and_then(|totp| totp.to_url().ok()).ok_or(AccountError::NotFound("authenticator"))
    }

    /// Shows the first code of an authenticator. Returns recovery codes, which are never shown again; other logins end.
    pub async fn confirm_factor(&self, identity: &Identity, code: &str) -> Result<Vec<String>, AccountError> {
        let (customer, user) = (&identity.customer, identity.id.as_str());
        self.use_code(customer, user, code, true).await?;
        let actor = format!("account:{user}");
        self.0.store.audit(&self.entry(customer, actor.clone(), "factor.add", &actor, json!({}))).await?;
        let codes = self.draw_recovery_codes(customer, user).await?;
        self.end_all(customer, user, Some(&identity.login)).await?;
        Ok(codes)
    }

    /// New recovery codes in the place of the old ones.
    pub async fn renew_recovery_codes(
        &self,
        identity: &Identity,
        code: &str,
    ) -> Result<Vec<String>, AccountError> {
        self.check_factor(&identity.customer, &identity.id, code).await?;
        self.draw_recovery_codes(&identity.customer, &identity.id).await
    }

    /// Removes the authenticator, with a code of it or a recovery code.
    pub async fn remove_factor(&self, identity: &Identity, code: &str) -> Result<(), AccountError> {
        let (customer, user) = (&identity.customer, identity.id.as_str());
        if identity.roles.is_staff() {
            return Err(AccountError::NotAllowed("accounts with a role need a second factor"));
        }
        self.check_factor(customer, user, code).await?;
        let actor = format!("account:{user}");
        let entry = self.entry(customer, actor.clone(), "factor.remove", &actor, json!({}));
        self.0.store.drop_factor(customer, user, Some(&entry)).await?;
        Ok(())
    }

    /// What opens more than a password does asks for the factor of those who have one.
    pub(super) async fn show_factor(
        &self,
        customer: &CustomerId,
        user: &str,
        code: Option<&str>,
    ) -> Result<(), AccountError> {
        if !self.0.store.factor(customer, user).await?.is_some_and(|factor| factor.confirmed) {
            return Ok(());
        }
        let code = code.filter(|code| !code.is_empty()).ok_or(AccountError::FactorRequired)?;
        self.check_factor(customer, user, code).await
    }

    /// Whether the asker's account has an authenticator, and how many recovery codes are left.
    pub async fn factor_status(&self, identity: &Identity) -> Result<(bool, i64), AccountError> {
        let (customer, user) = (&identity.customer, identity.id.as_str());
        let has = self.0.store.factor(customer, user).await?.is_some_and(|factor| factor.confirmed);
        Ok((has, self.0.store.count_recovery_codes(customer, user).await?))
    }

    /// A code of the authenticator, or a recovery code, which is used up.
    pub(super) async fn check_factor(
        &self,
        customer: &CustomerId,
        user: &str,
        code: &str,
    ) -> Result<(), AccountError> {
        let code: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.use_code(customer, user, &code, false).await;
        }
        let hash = digest(&format!("{user} {}", code.to_lowercase()));
        let fits = async { Ok(self.0.store.take_recovery_code(customer, user, &hash).await?) };
        self.one_try(&format!("factor {customer} {user}"), TRIES, fits, AccountError::WrongCode).await
    }

    async fn use_code(
        &self,
        customer: &CustomerId,
        user: &str,
        code: &str,
        first: bool,
    ) -> Result<(), AccountError> {
        let fits = self.code_fits(customer, user, code, first);
        self.one_try(&format!("factor {customer} {user}"), TRIES, fits, AccountError::WrongCode).await
    }

    async fn code_fits(
        &self,
        customer: &CustomerId,
        user: &str,
        code: &str,
        first: bool,
    ) -> Result<bool, AccountError> {
        let factor = self.0.store.factor(customer, user).await?.ok_or(AccountError::WrongCode)?;
        if first && factor.confirmed {
            return Err(AccountError::Conflict("this account has an authenticator already"));
        }
        let seed = self.0.sealer.open(&place(customer, user), &factor.seed).map_err(|error| {
            tracing::error!(%error, "the seed of a second factor does not open");
            AccountError::WrongCode
        })?;
        let seconds = u64::try_from(self.now() / SECOND).unwrap_or_default();
        let step = totp(&seed, user).and_then(|totp| totp.check(code, seconds));
        let step = step.and_then(|step| i64::try_from(step).ok());
        Ok(match step {
            Some(step) => self.0.store.use_step(customer, user, step, first).await?,
            None => false,
        })
    }

    async fn draw_recovery_codes(
        &self,
        customer: &CustomerId,
        user: &str,
    ) -> Result<Vec<String>, AccountError> {
        // 75 bits each: not to be guessed, even by who has the hashes.
        let draw = || -> String {
            const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
            rand::random::<[u8; 15]>()
                .iter()
                .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))
                .collect()
        };
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| draw()).collect();
        let hashes: Vec<_> = codes.iter().map(|code| digest(&format!("{user} {code}"))).collect();
        self.0.store.put_recovery_codes(customer, user, &hashes).await?;
        Ok(codes.iter().map(|code| format!("{}-{}-{}", &code[..5], &code[5..10], &code[10..])).collect())
    }
}
