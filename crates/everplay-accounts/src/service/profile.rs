//! What others see of an account, and what its owner may ask of us: all data, and to be forgotten.

use super::{AccountError, Accounts};
use crate::BoxFuture;
use crate::access::Principal;
use crate::store::{LinkedIdentity, StoreError, User};
use everplay_types::{CustomerId, Identity};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Somebody who keeps data of players: games, statistics, tickets.
pub trait PersonalData: Send + Sync + 'static {
    /// Names the part in an export.
    fn name(&self) -> &'static str;
    /// All that is kept of the account.
    fn export<'a>(
        &'a self,
        customer: &'a CustomerId,
        account: &'a str,
    ) -> BoxFuture<'a, Result<Value, String>>;
    /// What others see of the account has changed. A keeper that shows it brings it up to date; a failure is logged, and
    /// made good when the keeper next has to do with the account.
    fn shown<'a>(
        &'a self,
        _customer: &'a CustomerId,
        _account: &'a str,
        _profile: &'a Profile,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
    /// Makes what must stay nobody's, and removes the rest. Called again when it failed; doing it twice changes nothing.
    fn erase<'a>(&'a self, customer: &'a CustomerId, account: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// What everybody may see of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The account.
    pub id: String,
    /// Unique; how others find it.
    pub username: String,
    /// Shown to others.
    pub display_name: String,
    /// `https` only.
    pub avatar_url: Option<String>,
    /// For regional boards.
    pub region: Option<String>,
    /// Whether it is a guest.
    pub guest: bool,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// What its owner changes of a profile; None leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// 3 to 50 of letters, digits, `_`, `-`, `.`.
    pub username: Option<String>,
    /// 1 to 50 characters.
    pub display_name: Option<String>,
    /// `https` only; empty removes it.
    pub avatar_url: Option<String>,
    /// 2 to 20 of letters, digits and `-`; empty removes it.
    pub region: Option<String>,
}

impl From<&User> for Profile {
    fn from(user: &User) -> Self {
        Profile {
            id: user.id.clone(),
            username: user.username.clone(),
            display_name: user.display_name.clone(),
            avatar_url: user.avatar_url.clone(),
            region: user.region.clone(),
            guest: user.guest,
            created_at: user.created_at,
        }
    }
}

impl Accounts {
    /// What everybody may see; accounts that were deleted are not there.
    pub async fn profile(&self, customer: &CustomerId, id: &str) -> Result<Profile, AccountError> {
        let user = self.0.store.user(customer, id).await?.filter(|user| user.is_active);
        user.map(|user| Profile::from(&user)).ok_or(AccountError::NotFound("account"))
    }

    /// The asker's own account.
    pub async fn account(&self, identity: &Identity) -> Result<User, AccountError> {
        let user = self.0.store.user(&identity.customer, &identity.id).await?.filter(|user| user.is_active);
        user.ok_or(AccountError::NotFound("account"))
    }

    /// Changes the asker's own profile.
    pub async fn change_profile(
        &self,
        identity: &Identity,
        change: &ProfileChange,
    ) -> Result<Profile, AccountError> {
        let field = |field, problem| AccountError::Field { field, problem };
        let username = match &change.username {
            Some(name) if !is_username(name) => {
                return Err(field("username", "3 to 50 letters, digits, _ - ."));
            }
            name => name.clone(),
        };
        let display = match &change.display_name {
            Some(name) => {
                Some(display_name(name).ok_or_else(|| field("displayName", "1 to 50 printable characters"))?)
            }
            None => None,
        };
        let avatar = match change.avatar_url.as_deref() {
            Some(url) if !url.is_empty() && !is_picture(url) => {
                return Err(field("avatarUrl", "an https URL of at most 500 characters"));
            }
            url => url.map(|url| Some(url.to_owned()).filter(|url| !url.is_empty())),
        };
        let region = match change.region.as_deref() {
            Some(region) if !region.is_empty() && !is_region(region) => {
                return Err(field("region", "2 to 20 lower-case letters, digits and -"));
            }
            region => region.map(|region| Some(region.to_owned()).filter(|region| !region.is_empty())),
        };
        let changed = self.change(&identity.customer, &identity.id, None, |user| {
            if let Some(name) = &username {
                user.username.clone_from(name);
            }
            if let Some(name) = &display {
                user.display_name.clone_from(name);
            }
            if let Some(url) = &avatar {
                user.avatar_url.clone_from(url);
            }
            if let Some(region) = &region {
                user.region.clone_from(region);
            }
            Ok(())
        });
        match changed.await {
            Ok(user) => {
                let profile = Profile::from(&user);
                for keeper in &self.0.personal {
                    if let Err(reason) = keeper.shown(&identity.customer, &identity.id, &profile).await {
                        tracing::warn!(keeper = keeper.name(), reason, "a profile is shown as it was");
                    }
                }
                Ok(profile)
            }
            Err(AccountError::Store(StoreError::Taken)) => Err(AccountError::NameTaken),
            Err(error) => Err(error),
        }
    }

    /// All that is kept of an account, by us and by everybody who said so.
    pub async fn export(&self, customer: &CustomerId, id: &str) -> Result<Value, AccountError> {
        let store = &self.0.store;
        let user = store.user(customer, id).await?.filter(|user| user.is_active);
        let user = user.ok_or(AccountError::NotFound("account"))?;
        let logins = store.logins(customer, id, self.now()).await?;
        let logins: Vec<_> = logins
            .iter()
            .map(|login| {
                json!({
                    "id": login.id, "createdAt": login.created_at, "lastUsed": login.last_used,
                    "agent": login.agent, "network": login.network,
                })
            })
            .collect();
        let mut parts = BTreeMap::new();
        for keeper in &self.0.personal {
            let part = keeper.export(customer, id).await.map_err(StoreError::Unavailable)?;
            parts.insert(keeper.name(), part);
        }
        Ok(json!({
            "account": {
                "id": user.id, "email": user.email, "emailConfirmed": user.email_confirmed,
                "username": user.username, "displayName": user.display_name, "avatarUrl": user.avatar_url,
                "region": user.region, "guest": user.guest, "options": user.options, "roles": user.roles,
                "createdAt": user.created_at, "updatedAt": user.updated_at, "lastLogin": user.last_login,
                "bannedUntil": user.banned_until, "banReason": user.ban_reason,
                "hasPassword": user.password_hash.is_some(),
                "secondFactor": store.factor(customer, id).await?.is_some_and(|factor| factor.confirmed),
            },
            "identities": store.identities(customer, id).await?,
            "logins": logins,
            "elsewhere": parts,
        }))
    }

    /// All that is kept of somebody else's account, which is an act to be recorded.
    pub async fn export_for(&self, by: &Principal, id: &str) -> Result<Value, AccountError> {
        let customer = by.customer();
        let entry = self.entry(customer, by.actor(), "account.export", &format!("account:{id}"), json!({}));
        self.0.store.audit(&entry).await?;
        self.export(customer, id).await
    }

    /// What opens the asker's account beside its password.
    pub async fn identities(&self, identity: &Identity) -> Result<Vec<LinkedIdentity>, AccountError> {
        Ok(self.0.store.identities(&identity.customer, &identity.id).await?)
    }

    /// Deletes an account at once: its row stays, empty, so that what others played with it keeps its place.
    pub async fn delete(&self, by: &Principal, id: &str) -> Result<(), AccountError> {
        let customer = by.customer().clone();
        if by.actor() != format!("account:{id}") {
            super::staff::may_touch(by)(&self.account_of(&customer, id).await?)?;
        }
        self.last_admin_stays(&customer, id).await?;
        let logins = self.0.store.logins(&customer, id, self.now()).await?;
        for keeper in &self.0.personal {
            keeper.erase(&customer, id).await.map_err(StoreError::Unavailable)?;
        }
        let now = self.now();
        let entry = self.entry(&customer, by.actor(), "account.delete", &format!("account:{id}"), json!({}));
        self.change(&customer, id, Some(entry), |user| {
            *user = User {
                email: None,
                email_confirmed: false,
                username: format!("deleted-{}", user.id),
                display_name: "Deleted player".to_owned(),
                avatar_url: None,
                region: None,
                password_hash: None,
                options: json!({}),
                roles: Default::default(),
                is_active: false,
                ban_reason: None,
                last_login: None,
                deleted_at: Some(now),
                ..user.clone()
            };
            Ok(())
        })
        .await?;
        self.ended(&customer, logins.into_iter().map(|login| login.id).collect(), None);
        // What arrived while the account was still there: a game that ended in this moment.
        for keeper in &self.0.personal {
            if let Err(error) = keeper.erase(&customer, id).await {
                tracing::warn!(
                    keeper = keeper.name(),
                    error,
                    "what came while an account was deleted may be left"
                );
            }
        }
        Ok(())
    }
}

/// 1 to 50 characters of any script, without what only disturbs others: control and direction marks, white space at the
/// ends.
pub(super) fn display_name(text: &str) -> Option<String> {
    let text = text.trim();
    let disturbs = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let fits = (1..=50).contains(&text.chars().count()) && !text.chars().any(disturbs);
    fits.then(|| text.to_owned())
}

fn is_username(text: &str) -> bool {
    (3..=50).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && !text.to_ascii_lowercase().starts_with("deleted-")
}

fn is_region(text: &str) -> bool {
    (2..=20).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Never fetched by us; a browser may.
pub(super) fn is_picture(text: &str) -> bool {
    text.len() <= 500
        && text.strip_prefix("https://").is_some_and(|rest| rest.contains('.'))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_disturb() {
        assert_eq!(display_name("  Ada 漢字 "), Some("Ada 漢字".into()));
        // Markup is text like any other; pages show it as such.
        assert_eq!(display_name("<b>x</b>"), Some("<b>x</b>".into()));
        for bad in ["", "   ", "a\u{202e}b", "a\nb", "\u{200b}", &"x".repeat(51)] {
            assert_eq!(display_name(bad), None, "{bad:?}");
        }
        assert!(
            is_username("ada.l_1") && !is_username("ad") && !is_username("a da") && !is_username("Deleted-1")
        );
        assert!(is_picture("https://a.example/x.png"));
        for bad in
            ["http://a.example", "javascript:alert(1)", "https://a.example/\"onload=x", "data:image/png,x"]
        {
            assert!(!is_picture(bad), "{bad}");
        }
    }
}
