//! Addresses that are confirmed, and passwords that were lost.
//!
//! Asking for a reset is answered the same, and as fast, whether there is an account or not: what has to be done is done
//! behind the answer.

use super::{AccountError, Accounts};
use crate::clock::{DAY, HOUR, MINUTE};
use crate::mail::{Letter, address_key};
use crate::password;
use crate::secret::{digest, draw};
use crate::store::{Code, StoreError, User};
use crate::throttle::Bound;
use everplay_types::{CustomerId, Identity};
use serde_json::json;

/// Mails to one address.
const MAILS: Bound = Bound { failures: 5, window_ms: HOUR };
/// Mails asked for by one network.
const MAILS_FROM: Bound = Bound { failures: 30, window_ms: HOUR };
/// Wrong passwords when one is asked for again.
const STEP_UPS: Bound = Bound { failures: 5, window_ms: 15 * MINUTE };

impl Accounts {
    /// Sends the mail that confirms an address.
    pub(super) async fn send_confirmation(&self, user: &User) -> Result<(), AccountError> {
        let Some(email) = user.email.clone().filter(|_| !user.email_confirmed) else { return Ok(()) };
        let key = format!("mail {} {}", user.customer, email.to_lowercase());
        if self.0.throttle.take(&key, MAILS, self.now()).is_err() {
            return Ok(());
        }
        let code = draw();
        let row = Code {
            purpose: "confirm",
            user: user.id.clone(),
            payload: email.to_lowercase(),
            expires_at: self.now() + DAY,
        };
        self.0.store.drop_codes(&user.customer, &user.id, "confirm").await?;
        self.0.store.put_code(&user.customer, &digest(&code), &row).await?;
        self.0.outbox.put(Letter {
            to: email,
            subject: "Confirm your e-mail address".to_owned(),
            text: format!(
                "Hello {},\n\nopen this link within a day to confirm your e-mail address:\n\n{}/auth/confirm-email?token={code}\n\n\
                 If you did not ask for an account, do nothing.\n",
                user.display_name,
                self.public_url(),
            ),
        });
        Ok(())
    }

    /// Sends the confirmation again.
    pub async fn resend_confirmation(&self, identity: &Identity) -> Result<(), AccountError> {
        let user = self.account(identity).await?;
        self.send_confirmation(&user).await
    }

    /// Uses the code of a confirmation.
    pub async fn confirm_email(&self, customer: &CustomerId, code: &str) -> Result<(), AccountError> {
        let code = self.0.store.take_code(customer, &digest(code), "confirm", self.now()).await?;
        let code = code.ok_or(AccountError::WrongCode)?;
        self.change(customer, &code.user, None, |user| {
            // The address may have been changed since the mail was sent.
            if user.email.as_ref().map(|email| email.to_lowercase()).as_ref() != Some(&code.payload) {
                return Err(AccountError::WrongCode);
            }
            user.email_confirmed = true;
            Ok(())
        })
        .await?;
        if *customer == CustomerId::default() && self.0.admins.contains(&code.payload) {
            self.appoint_if_there(customer, &code.payload).await?;
        }
        Ok(())
    }

    /// Sends a reset to the address, if it is an account's. Says nothing either way.
    pub fn request_reset(
        &self,
        customer: &CustomerId,
        email: &str,
        network: &str,
    ) -> Result<(), AccountError> {
        let key = address_key(email).ok_or(AccountError::EmailMalformed)?;
        let from = format!("mail from {network}");
        self.0.throttle.take(&from, MAILS_FROM, self.now()).map_err(AccountError::Throttled)?;
        if self.0.throttle.take(&format!("reset {customer} {key}"), MAILS, self.now()).is_err() {
            return Ok(());
        }
        let (accounts, customer) = (self.clone(), customer.clone());
        tokio::spawn(async move {
            if let Err(error) = accounts.send_reset(&customer, &key).await {
                tracing::warn!(%error, "a reset could not be sent");
            }
        });
        Ok(())
    }

    async fn send_reset(&self, customer: &CustomerId, key: &str) -> Result<(), StoreError> {
        let user = self.0.store.user_by_email(customer, key).await?.filter(|user| user.is_active);
        let Some((user, email)) = user.and_then(|user| user.email.clone().map(|email| (user, email))) else {
            return Ok(());
        };
        let code = draw();
        let row = Code {
            purpose: "reset",
            user: user.id.clone(),
            payload: key.to_owned(),
            expires_at: self.now() + HOUR,
        };
        self.0.store.drop_codes(customer, &user.id, "reset").await?;
        self.0.store.put_code(customer, &digest(&code), &row).await?;
        self.0.outbox.put(Letter {
            to: email,
            subject: "Choose a new password".to_owned(),
            text: format!(
                "Hello {},\n\nopen this link within an hour to choose a new password:\n\n{}/auth/reset-password?token={code}\n\n\
                 If you did not ask for it, do nothing: your password stays.\n",
                user.display_name,
                self.public_url(),
            ),
        });
        Ok(())
    }

    /// Whether the code of a reset is good now, without using it.
    pub async fn reset_is_open(&self, customer: &CustomerId, code: &str) -> Result<bool, AccountError> {
        Ok(self.0.store.code(customer, &digest(code), "reset", self.now()).await?.is_some())
    }

    /// Sets a new password with the code of a reset. All logins end; the second factor stays.
    ///
    /// Who reads the mail owns the address. If nobody had shown that before, whoever made the account may be somebody
    /// else who waits for its owner to come: then everything else that opens the account is removed.
    pub async fn reset_password(
        &self,
        customer: &CustomerId,
        code: &str,
        new: &str,
    ) -> Result<(), AccountError> {
        let hash_of_code = digest(code);
        let found = self.0.store.code(customer, &hash_of_code, "reset", self.now()).await?;
        let found = found.ok_or(AccountError::WrongCode)?;
        password::check(new, &[&found.payload])?;
        let hash = self.0.hasher.hash(new).await?;
        let taken = self.0.store.take_code(customer, &hash_of_code, "reset", self.now()).await?;
        taken.ok_or(AccountError::WrongCode)?;
        let mut was_confirmed = true;
        let entry = self.entry(
            customer,
            format!("account:{}", found.user),
            "account.password_reset",
            &format!("account:{}", found.user),
            json!({}),
        );
        let user = self
            .change(customer, &found.user, Some(entry), |user| {
                if user.email.as_ref().map(|email| email.to_lowercase()).as_ref() != Some(&found.payload) {
                    return Err(AccountError::WrongCode);
                }
                was_confirmed = user.email_confirmed;
                user.email_confirmed = true;
                user.password_hash = Some(hash.clone());
                user.guest = false;
                Ok(())
            })
            .await?;
        if !was_confirmed {
            self.0.store.unlink(customer, &user.id, None).await?;
            self.0.store.drop_factor(customer, &user.id).await?;
        }
        self.0.store.drop_codes(customer, &user.id, "challenge").await?;
        self.end_all(customer, &user.id, None).await?;
        Ok(())
    }

    /// Changes the password of the asker's own account; all other logins end.
    pub async fn change_password(
        &self,
        identity: &Identity,
        old: &str,
        new: &str,
    ) -> Result<(), AccountError> {
        let user = self.show_password(identity, old).await?;
        password::check(new, &[user.email.as_deref().unwrap_or_default(), &user.username])?;
        let hash = self.0.hasher.hash(new).await?;
        let actor = format!("account:{}", user.id);
        let entry = self.entry(&user.customer, actor.clone(), "account.password_change", &actor, json!({}));
        self.change(&user.customer, &user.id, Some(entry), |user| {
            user.password_hash = Some(hash.clone());
            Ok(())
        })
        .await?;
        self.end_all(&user.customer, &user.id, Some(&identity.login)).await?;
        Ok(())
    }

    /// Changes the address of the asker's own account; it is to be confirmed again, and the old one is told.
    pub async fn change_email(
        &self,
        identity: &Identity,
        password: &str,
        email: &str,
    ) -> Result<(), AccountError> {
        address_key(email).ok_or(AccountError::EmailMalformed)?;
        let user = self.show_password(identity, password).await?;
        let actor = format!("account:{}", user.id);
        let entry = self.entry(&user.customer, actor.clone(), "account.email_change", &actor, json!({}));
        let changed = self
            .change(&user.customer, &user.id, Some(entry), |user| {
                user.email = Some(email.to_owned());
                user.email_confirmed = false;
                Ok(())
            })
            .await
            .map_err(super::sign_in::email_taken)?;
        self.0.store.drop_codes(&user.customer, &user.id, "reset").await?;
        if let Some(old) = user.email.filter(|_| user.email_confirmed) {
            self.0.outbox.put(Letter {
                to: old,
                subject: "Your e-mail address was changed".to_owned(),
                text: "The e-mail address of your account was changed. If it was not you, ask our support at once.\n"
                    .to_owned(),
            });
        }
        self.send_confirmation(&changed).await
    }

    /// Asks for the password again, before something that cannot be undone.
    ///
    /// A guest has nothing to show: its token is all there is.
    pub async fn step_up(&self, identity: &Identity, password: &str) -> Result<(), AccountError> {
        if identity.guest {
            return Ok(());
        }
        self.show_password(identity, password).await.map(drop)
    }

    /// The password again, for what a borrowed device should not do. Accounts without one need a login of at most five
    /// minutes ago.
    pub(super) async fn show_password(
        &self,
        identity: &Identity,
        password: &str,
    ) -> Result<User, AccountError> {
        let user = self.account(identity).await?;
        if user.password_hash.is_none() {
            let login = self.0.store.login(&identity.customer, &identity.login).await?;
            let fresh = login.is_some_and(|login| self.now() < login.created_at + 5 * MINUTE);
            return if fresh { Ok(user) } else { Err(AccountError::StepUp) };
        }
        let key = format!("step up {} {}", user.customer, user.id);
        self.throttled(&key, STEP_UPS)?;
        if !self.0.hasher.verify(password, user.password_hash.clone()).await?.fits {
            self.0.throttle.failed(&key, STEP_UPS, self.now());
            return Err(AccountError::InvalidCredentials);
        }
        Ok(user)
    }
}
