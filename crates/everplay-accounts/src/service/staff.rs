//! Acts on others' accounts, and keys of servers. Whoever calls has checked the permission; who acted and what was done
//! goes into the audit log with the act itself.

use super::{AccountError, Accounts};
use crate::access::{Permission, Principal, allows};
use crate::clock::DAY;
use crate::secret::{digest, draw, encode};
use crate::store::{ApiKey, AuditRecord, BrokenChain, SaidService, ServiceWord, StoreError, User};
use everplay_types::{CustomerId, Identity, Role};
use serde_json::json;

/// Begins every key of a server, so that one that was published by mistake is found.
pub(super) const KEY_PREFIX: &str = "epk_";

/// Time both secrets of a rotated key are good.
const ROTATION_OVERLAP_MS: i64 = DAY;

/// A key of a server with its secret, which is told this once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedKey {
    /// The key.
    pub key: ApiKey,
    /// What the server presents as its bearer token.
    pub token: String,
}

impl Accounts {
    /// Any account of the asker's customer.
    pub async fn account_of(&self, customer: &CustomerId, id: &str) -> Result<User, AccountError> {
        self.0.store.user(customer, id).await?.ok_or(AccountError::NotFound("account"))
    }

    /// What people call whoever acted, by the name that [`Principal::actor`] gives: an account's display name, a key's
    /// label; None: neither, or it is gone.
    pub async fn actor_name(
        &self,
        customer: &CustomerId,
        actor: &str,
    ) -> Result<Option<String>, AccountError> {
        Ok(match actor.split_once(':') {
            Some(("account", id)) => self.0.store.user(customer, id).await?.map(|user| user.display_name),
            Some(("key", id)) => self.0.store.api_key(customer, id).await?.map(|stored| stored.key.name),
            _ => None,
        })
    }

    /// Bans an account until a time, for ever without one: it is signed out everywhere.
    pub async fn ban(
        &self,
        by: &Principal,
        id: &str,
        reason: &str,
        until: Option<i64>,
    ) -> Result<(), AccountError> {
        let field = |problem| AccountError::Field { field: "reason", problem };
        if reason.trim().is_empty() || reason.chars().count() > 500 {
            return Err(field("1 to 500 characters"));
        }
        let customer = by.customer().clone();
        let details = json!({ "until": until });
        let entry = self.entry(&customer, by.actor(), "account.ban", &format!("account:{id}"), details);
        let by_id = match by {
            Principal::Player(identity) => Some(identity.id.as_str()),
            Principal::Server(_) => None,
        };
        let may = may_touch(by);
        self.change(&customer, id, Some(entry), |user| {
            if by_id == Some(id) {
                return Err(AccountError::NotAllowed("you cannot ban yourself"));
            }
            may(user)?;
            user.banned_until = Some(until.unwrap_or(i64::MAX));
            user.ban_reason = Some(reason.trim().to_owned());
            Ok(())
        })
        .await?;
        self.end_all(&customer, id, None).await?;
        Ok(())
    }

    /// Lifts a ban.
    pub async fn unban(&self, by: &Principal, id: &str) -> Result<(), AccountError> {
        let customer = by.customer().clone();
        let entry = self.entry(&customer, by.actor(), "account.unban", &format!("account:{id}"), json!({}));
        let may = may_touch(by);
        self.change(&customer, id, Some(entry), |user| {
            may(user)?;
            user.banned_until = None;
            user.ban_reason = None;
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Signs an account out everywhere. Returns how many logins ended.
    pub async fn sign_out_account(&self, by: &Principal, id: &str) -> Result<usize, AccountError> {
        let customer = by.customer().clone();
        may_touch(by)(&self.account_of(&customer, id).await?)?;
        let entry =
            self.entry(&customer, by.actor(), "account.sign_out", &format!("account:{id}"), json!({}));
        self.0.store.audit(&entry).await?;
        Ok(self.end_all(&customer, id, None).await?)
    }

    /// Removes the second factor of somebody who lost it.
    pub async fn reset_factor(&self, by: &Principal, id: &str) -> Result<(), AccountError> {
        let customer = by.customer().clone();
        may_touch(by)(&self.account_of(&customer, id).await?)?;
        let entry = self.entry(&customer, by.actor(), "factor.reset", &format!("account:{id}"), json!({}));
        self.0.store.drop_factor(&customer, id, Some(&entry)).await?;
        self.end_all(&customer, id, None).await?;
        Ok(())
    }

    /// Gives or takes a role. Nobody gives or takes what they may not do themselves. Who loses one is signed out, so that
    /// no room goes on believing in it.
    pub async fn set_role(
        &self,
        by: &Principal,
        id: &str,
        role: Role,
        has: bool,
    ) -> Result<User, AccountError> {
        let customer = by.customer().clone();
        if role == Role::Player {
            return Err(AccountError::Conflict("everybody plays"));
        }
        let is_admin = matches!(by, Principal::Player(identity) if identity.roles.has(Role::Admin));
        if role == Role::Admin && !is_admin {
            return Err(AccountError::NotAllowed("only an admin makes admins"));
        }
        if Permission::ALL.into_iter().any(|permission| allows(role, permission) && !by.may(permission)) {
            return Err(AccountError::NotAllowed("this role may do what you may not"));
        }
        let may = may_touch(by);
        let action = if has { "role.grant" } else { "role.take" };
        let details = json!({ "role": role.name() });
        let entry = self.entry(&customer, by.actor(), action, &format!("account:{id}"), details);
        let user = self
            .change(&customer, id, Some(entry), |user| {
                may(user)?;
                if user.guest {
                    return Err(AccountError::Conflict("a guest has no role"));
                }
                if has && user.email.is_some() && !user.email_confirmed {
                    return Err(AccountError::Conflict("the e-mail address of the account is not confirmed"));
                }
                user.roles = if has { user.roles.with(role) } else { user.roles.without(role) };
                Ok(())
            })
            .await?;
        if !has {
            self.end_all(&customer, id, None).await?;
        }
        Ok(user)
    }

    /// Makes an account an admin without anybody's leave: for the operator of the machine, at the command line or by the
    /// settings. The account needs a second factor to use it.
    pub async fn appoint(&self, customer: &CustomerId, email: &str) -> Result<User, AccountError> {
        let user = self.0.store.user_by_email(customer, &email.to_lowercase()).await?;
        let user = user.ok_or(AccountError::NotFound("account"))?;
        if user.roles.has(Role::Admin) {
            return Ok(user);
        }
        if !user.email_confirmed {
            return Err(AccountError::Conflict("the e-mail address of the account is not confirmed"));
        }
        let target = format!("account:{}", user.id);
        let entry = self.entry(customer, "system".into(), "role.grant", &target, json!({ "role": "admin" }));
        self.change(customer, &user.id, Some(entry), |user| {
            user.roles = user.roles.with(Role::Admin);
            Ok(())
        })
        .await
    }

    /// Appoints, when there is such an account and its address is confirmed.
    pub(super) async fn appoint_if_there(
        &self,
        customer: &CustomerId,
        email: &str,
    ) -> Result<(), StoreError> {
        match self.appoint(customer, email).await {
            Ok(_) => Ok(()),
            Err(AccountError::Store(error)) => Err(error),
            Err(error) => {
                tracing::info!(%error, "an admin of the settings is not appointed yet");
                Ok(())
            }
        }
    }

    /// A customer without an admin could only be helped by the operator of the machine.
    pub(super) async fn last_admin_stays(&self, customer: &CustomerId, id: &str) -> Result<(), AccountError> {
        let Some(user) = self.0.store.user(customer, id).await? else { return Ok(()) };
        for role in [Role::Admin, Role::CustomerAdmin] {
            if user.roles.has(role) && self.0.store.count_stand_ins(customer, role).await? <= 1 {
                return Err(AccountError::Conflict("the last admin stays"));
            }
        }
        Ok(())
    }

    /// Makes a key for a server.
    pub async fn create_key(
        &self,
        by: &Identity,
        name: &str,
        scopes: &[Permission],
        expires_at: Option<i64>,
    ) -> Result<IssuedKey, AccountError> {
        let field = |field, problem| AccountError::Field { field, problem };
        let name = super::profile::display_name(name)
            .ok_or_else(|| field("name", "1 to 50 printable characters"))?;
        if scopes.is_empty() || scopes.iter().any(|scope| !scope.for_servers()) {
            return Err(field("scopes", "at least one, and none that people alone may have"));
        }
        if expires_at.is_some_and(|at| at <= self.now()) {
            return Err(field("expiresAt", "must lie in the future"));
        }
        // A key is no way around what its maker may not do. Results come from games, so no person has that one to give.
        let may = |scope: &Permission| {
            *scope == Permission::ResultsWrite || by.roles.iter().any(|role| allows(role, *scope))
        };
        if !scopes.iter().all(may) {
            return Err(AccountError::NotAllowed("a key may not do what you may not"));
        }
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        let key = ApiKey {
            id: encode(&rand::random::<[u8; 9]>()),
            name,
            scopes,
            created_by: by.id.as_str().to_owned(),
            created_at: self.now(),
            expires_at,
            revoked_at: None,
            uses: 0,
            last_used: None,
        };
        let secret = draw();
        let names: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
        let (actor, target) = (format!("account:{}", by.id), format!("key:{}", key.id));
        let entry = self.entry(&by.customer, actor, "key.create", &target, json!({ "scopes": names }));
        self.0.store.insert_api_key(&by.customer, &key, &digest(&secret), &entry).await?;
        let token = format!("{KEY_PREFIX}{}.{}.{secret}", by.customer, key.id);
        Ok(IssuedKey { key, token })
    }

    /// The keys of the customer.
    pub async fn keys(&self, customer: &CustomerId) -> Result<Vec<ApiKey>, AccountError> {
        self.flush_key_uses().await?;
        Ok(self.0.store.api_keys(customer).await?)
    }

    /// A new secret for a key; the present one is good for another day.
    pub async fn rotate_key(&self, by: &Identity, id: &str) -> Result<IssuedKey, AccountError> {
        let secret = draw();
        let (actor, target) = (format!("account:{}", by.id), format!("key:{id}"));
        let entry = self.entry(&by.customer, actor, "key.rotate", &target, json!({}));
        let until = self.now() + ROTATION_OVERLAP_MS;
        if !self.0.store.rotate_api_key(&by.customer, id, &digest(&secret), until, &entry).await? {
            return Err(AccountError::NotFound("key"));
        }
        let stored = self.0.store.api_key(&by.customer, id).await?.ok_or(AccountError::NotFound("key"))?;
        Ok(IssuedKey { key: stored.key, token: format!("{KEY_PREFIX}{}.{id}.{secret}", by.customer) })
    }

    /// Ends a key at once.
    pub async fn revoke_key(&self, by: &Identity, id: &str) -> Result<(), AccountError> {
        let (actor, target) = (format!("account:{}", by.id), format!("key:{id}"));
        let entry = self.entry(&by.customer, actor, "key.revoke", &target, json!({}));
        let done = self.0.store.revoke_api_key(&by.customer, id, self.now(), &entry).await?;
        if done { Ok(()) } else { Err(AccountError::NotFound("key")) }
    }

    /// Up to `limit` entries of the audit log before `before`, the newest first. Reading it is recorded too.
    pub async fn audit_log(
        &self,
        by: &Principal,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AuditRecord>, AccountError> {
        let entry = self.entry(by.customer(), by.actor(), "audit.read", "audit", json!({ "before": before }));
        self.0.store.audit(&entry).await?;
        let limit = limit.clamp(1, 500);
        Ok(self.0.store.audit_log(by.customer(), before.unwrap_or(i64::MAX), limit).await?)
    }

    /// Says how much of the service there is, to all processes on this store; None takes it back. Returns the word's number.
    pub async fn say_service(&self, by: &Principal, word: Option<&ServiceWord>) -> Result<i64, AccountError> {
        let (action, details) = match word {
            Some(word) => ("service.set", json!({ "level": word.level.name(), "until": word.until })),
            None => ("service.unset", json!({})),
        };
        let entry = self.entry(by.customer(), by.actor(), action, "service", details);
        Ok(self.0.store.say_service(word, &entry).await?)
    }

    /// What was said last of how much of the service there is.
    pub async fn said_service(&self) -> Result<SaidService, AccountError> {
        Ok(self.0.store.said_service().await?)
    }

    /// Follows the chain of the audit log.
    pub async fn verify_audit(
        &self,
        customer: &CustomerId,
    ) -> Result<Result<(i64, Vec<u8>), BrokenChain>, AccountError> {
        Ok(self.0.store.verify_audit(customer).await?)
    }
}

/// Staff do not act on those above them: a moderator bans no admin.
pub(super) fn may_touch(by: &Principal) -> impl Fn(&User) -> Result<(), AccountError> + use<> {
    let above = match by {
        Principal::Player(identity) => identity.roles.iter().max(),
        Principal::Server(_) => None,
    };
    move |user: &User| {
        let theirs = user.roles.iter().max();
        if theirs > Some(Role::Player) && theirs > above {
            return Err(AccountError::NotAllowed("this account stands above yours"));
        }
        Ok(())
    }
}
