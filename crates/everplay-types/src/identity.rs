use crate::{AccountId, CustomerId, LoginId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Who somebody is, as far as a valid token proves it. What rooms, services and logs are given.
///
/// As JSON, which seats and tokens carry: camel case, roles as a list of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Whose player this is.
    pub customer: CustomerId,
    /// The account.
    pub id: AccountId,
    /// The signing-in that the token belongs to; it can be revoked.
    pub login: LoginId,
    /// Shown to others; 1 to 50 characters, of any script. Not unique, and not to be compared.
    pub name: String,
    /// Nobody can sign in to this account again: it is as good as the device it was made on.
    pub guest: bool,
    /// What it may do beyond playing.
    pub roles: Roles,
    /// Whether a second factor was shown when signing in.
    pub second_factor: bool,
}

/// What an account may be in the service. Every account plays; the others are given by an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Plays, and looks after its own account.
    Player,
    /// Bans and names: keeps the peace among players.
    Moderator,
    /// Answers tickets.
    SupportAgent,
    /// Runs the service: rooms, levels, what is in force.
    Operator,
    /// Gives roles and keys within one customer, reads its audit log.
    CustomerAdmin,
    /// The same over all customers.
    Admin,
}

impl Role {
    /// All there are, from the least on.
    pub const ALL: [Role; 6] =
        [Role::Player, Role::Moderator, Role::SupportAgent, Role::Operator, Role::CustomerAdmin, Role::Admin];

    /// The name in tokens, rows and requests.
    pub fn name(self) -> &'static str {
        match self {
            Role::Player => "player",
            Role::Moderator => "moderator",
            Role::SupportAgent => "support_agent",
            Role::Operator => "operator",
            Role::CustomerAdmin => "customer_admin",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or(())
    }
}

/// A set of roles. [`Role::Player`] is always in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Role>", into = "Vec<Role>")]
pub struct Roles(Vec<Role>);

impl Roles {
    /// Whether the role is in the set.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// The set with this role too.
    #[must_use]
    pub fn with(&self, role: Role) -> Roles {
        self.iter().chain([role]).collect()
    }

    /// The set without this role.
    #[must_use]
    pub fn without(&self, role: Role) -> Roles {
        self.iter().filter(|other| *other != role).collect()
    }

    /// The roles, from the least on.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }

    /// Whether more than playing is allowed: such accounts need a second factor to use it.
    pub fn is_staff(&self) -> bool {
        self.0.iter().any(|role| *role != Role::Player)
    }
}

impl Default for Roles {
    fn default() -> Self {
        Roles(vec![Role::Player])
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        let mut all: Vec<Role> = roles.into_iter().chain([Role::Player]).collect();
        all.sort_unstable();
        all.dedup();
        Roles(all)
    }
}

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        roles.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_json_agree_and_everybody_plays() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
            assert_eq!(role.name().parse(), Ok(role));
        }
        let roles: Roles = serde_json::from_str(r#"["admin","moderator","admin"]"#).unwrap();
        assert_eq!(roles.iter().collect::<Vec<_>>(), [Role::Player, Role::Moderator, Role::Admin]);
        assert!(roles.is_staff() && !Roles::default().is_staff());
        assert_eq!(roles.without(Role::Player).without(Role::Admin), Roles::default().with(Role::Moderator));
    }
}
