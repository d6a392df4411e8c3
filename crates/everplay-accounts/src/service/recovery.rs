//! Addresses that are confirmed, and passwords that were lost.
//!
//! An address that was confirmed stays until another one is: whoever got hold of an open page cannot take the account's
//! mail away with it. Letters to an address that nobody has confirmed hold nothing that a stranger wrote.
//!
//! Asking for a reset is answered the same, and as fast, whether there is an account or not: what has to be done is done
//! behind the answer.

use super::sign_in::TAKEN_ADDRESSES;
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
/// Mails with a code that one account has sent, to whatever address.
const MAILS_BY: Bound = Bound { failures: 10, window_ms: HOUR };
/// Wrong passwords when one is asked for again.
const STEP_UPS: Bound = Bound { failures: 5, window_ms: 15 * MINUTE };

impl Accounts {
    /// Sends the mail that confirms an address.
    pub(super) async fn send_confirmation(&self, user: &User) -> Result<(), AccountError> {
        match user.email.clone().filter(|_| !user.email_confirmed) {
            Some(email) => self.ask_to_confirm(user, "confirm", email).await,
            None => Ok(()),
        }
    }

    /// Sends a code that shows who reads the mail of an address: `confirm` the account's own, or `move` it there.
    async fn ask_to_confirm(
        &self,
        user: &User,
        purpose: &'static str,
        email: String,
    ) -> Result<(), AccountError> {
        let (to, by) = (
            format!("mail {} {}", user.customer, email.to_lowercase()),
            format!("mail by {} {}", user.customer, user.id),
        );
        if self.0.throttle.take(&to, MAILS, self.now()).is_err()
            || self.0.throttle.take(&by, MAILS_BY, self.now()).is_err()
        {
            return Ok(());
        }
        let code = draw();
        let row =
            Code { purpose, user: user.id.clone(), payload: email.clone(), expires_at: self.now() + DAY };
        self.0.store.drop_codes(&user.customer, &user.id, purpose).await?;
        self.0.store.put_code(&user.customer, &digest(&code), &row).await?;
        self.0.outbox.put(Letter {
            to: email,
            subject: "Confirm your e-mail address".to_owned(),
            text: format!(
                "Hello,\n\nopen this link within a day to confirm your e-mail address:\n\n{}/auth/confirm-email?token={code}\n\n\
                 If you did not ask for an account, do nothing.\n",
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
        let hash = digest(code);
        let code = match self.0.store.take_code(customer, &hash, "confirm", self.now()).await? {
            Some(code) => code,
            None => {
                let moves = self.0.store.take_code(customer, &hash, "move", self.now()).await?;
                moves.ok_or(AccountError::WrongCode)?
            }
        };
        let (moves, key) = (code.purpose == "move", code.payload.to_lowercase());
        self.change(customer, &code.user, None, |user| {
            if moves {
                user.email = Some(code.payload.clone());
            } else if user.email.as_ref().map(|email| email.to_lowercase()).as_ref() != Some(&key) {
                // It was changed since the mail was sent.
                return Err(AccountError::WrongCode);
            }
            user.email_confirmed = true;
            Ok(())
        })
        .await
        .map_err(super::sign_in::email_taken)?;
        if *customer == CustomerId::default() && self.0.admins.contains(&key) {
            self.appoint_if_there(customer, &key).await?;
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
                "Hello{},\n\nopen this link within an hour to choose a new password:\n\n{}/auth/reset-password?token={code}\n\n\
                 If you did not ask for it, do nothing: your password stays.\n",
                if user.email_confirmed { format!(" {}", user.display_name) } else { String::new() },
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
    /// Who reads the mail owns the address. If nobody had ever shown that for this account, whoever made it may be
    /// somebody else who waits for the address's owner to come: then everything else that opens the account is removed.
    /// The factor of an account with a role stays in any case; other staff remove it.
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
            self.0.store.unlink(customer, &user.id, None, None).await?;
            if !user.roles.is_staff() {
                self.0.store.drop_factor(customer, &user.id, None).await?;
            }
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

    /// Changes the address of the asker's own account. One that was confirmed stays until somebody confirms the new one,
    /// and is told of it; one that never was is replaced at once.
    ///
    /// `code` is one of the second factor, for those who have it.
    pub async fn change_email(
        &self,
        identity: &Identity,
        password: &str,
        code: Option<&str>,
        email: &str,
    ) -> Result<(), AccountError> {
        let key = address_key(email).ok_or(AccountError::EmailMalformed)?;
        let user = self.show_password(identity, password).await?;
        self.show_factor(&user.customer, &user.id, code).await?;
        let is_its_own = user.email.as_ref().is_some_and(|email| email.to_lowercase() == key);
        if !is_its_own {
            let free = async { Ok(self.0.store.user_by_email(&user.customer, &key).await?.is_none()) };
            let by = format!("taken by {} {}", user.customer, user.id);
            self.one_try(&by, TAKEN_ADDRESSES, free, AccountError::EmailTaken).await?;
        }
        let actor = format!("account:{}", user.id);
        let entry = self.entry(&user.customer, actor.clone(), "account.email_change", &actor, json!({}));
        if user.email_confirmed && !is_its_own {
            self.0.store.audit(&entry).await?;
            self.ask_to_confirm(&user, "move", email.to_owned()).await?;
            if let Some(old) = user.email {
                self.0.outbox.put(Letter {
                    to: old,
                    subject: "Your e-mail address is to be changed".to_owned(),
                    text: "Somebody who is signed in to your account gave it another e-mail address; it will be used once \
                           it is confirmed. If it was not you, change your password and ask our support at once.\n"
                        .to_owned(),
                });
            }
            return Ok(());
        }
        let changed = self
            .change(&user.customer, &user.id, Some(entry), |user| {
                user.email = Some(email.to_owned());
                Ok(())
            })
            .await
            .map_err(super::sign_in::email_taken)?;
        self.0.store.drop_codes(&user.customer, &user.id, "reset").await?;
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
        let fits = async { Ok(self.0.hasher.verify(password, user.password_hash.clone()).await?.fits) };
        self.one_try(&key, STEP_UPS, fits, AccountError::InvalidCredentials).await?;
        Ok(user)
    }
}
