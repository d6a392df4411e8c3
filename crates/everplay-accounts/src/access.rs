//! Who may do what: roles of people, scopes of servers' keys, and the one table that joins them to permissions.
//!
//! Nothing is allowed that the table does not say. Whoever handles a request asks for one permission; whether the
//! request is about the asker's own account is decided there, because only the handler knows whose it is.

use everplay_types::{CustomerId, Identity, Role};
use std::fmt;
use std::str::FromStr;

/// Something that is not everybody's to do. Looking after one's own account needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// See another account's e-mail address, sessions and standing.
    AccountsRead,
    /// Ban and unban.
    AccountsBan,
    /// Sign others out, remove their second factor, delete or export their account on their request.
    AccountsManage,
    /// Give and take roles.
    RolesGrant,
    /// Make, rotate and revoke keys of servers.
    KeysManage,
    /// Read the audit log.
    AuditRead,
    /// See and answer tickets of others.
    TicketsAnswer,
    /// Record results, from a server that we trust.
    ResultsWrite,
    /// Look into rooms and end them.
    RoomsManage,
    /// Set the level of service.
    ServiceManage,
}

impl Permission {
    /// All there are.
    pub const ALL: [Permission; 10] = [
        Permission::AccountsRead,
        Permission::AccountsBan,
        Permission::AccountsManage,
        Permission::RolesGrant,
        Permission::KeysManage,
        Permission::AuditRead,
        Permission::TicketsAnswer,
        Permission::ResultsWrite,
        Permission::RoomsManage,
        Permission::ServiceManage,
    ];

    /// The name of the scope that gives it to a server's key.
    pub fn name(self) -> &'static str {
        match self {
            Permission::AccountsRead => "accounts:read",
            Permission::AccountsBan => "accounts:ban",
            Permission::AccountsManage => "accounts:manage",
            Permission::RolesGrant => "roles:grant",
            Permission::KeysManage => "keys:manage",
            Permission::AuditRead => "audit:read",
            Permission::TicketsAnswer => "tickets:answer",
            Permission::ResultsWrite => "results:write",
            Permission::RoomsManage => "rooms:manage",
            Permission::ServiceManage => "service:manage",
        }
    }

    /// Whether a key of a server may carry it. What would let a key make itself greater is for people with a second
    /// factor only.
    pub fn for_servers(self) -> bool {
        !matches!(self, Permission::RolesGrant | Permission::KeysManage)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Permission {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Permission::ALL.into_iter().find(|permission| permission.name() == text).ok_or(())
    }
}

/// The table: which role carries which permission. The page `docs/accounts.md` shows it, and a test compares.
pub fn allows(role: Role, permission: Permission) -> bool {
    use Permission::*;
    match role {
        Role::Player => false,
        Role::Moderator => matches!(permission, AccountsRead | AccountsBan),
        Role::SupportAgent => matches!(permission, AccountsRead | TicketsAnswer),
        Role::Operator => matches!(permission, AccountsRead | AccountsBan | RoomsManage | ServiceManage),
        Role::CustomerAdmin => !matches!(permission, ResultsWrite | ServiceManage),
        Role::Admin => !matches!(permission, ResultsWrite),
    }
}

/// Whoever asks, once a token or a key has proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A person or a guest.
    Player(Identity),
    /// A server of the customer, with a key.
    Server(ServerKey),
}

/// A key that was presented and is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerKey {
    /// Whose server it is.
    pub customer: CustomerId,
    /// Names the key; not secret.
    pub key: String,
    /// What it may do.
    pub scopes: Vec<Permission>,
}

impl Principal {
    /// Whose player or server it is.
    pub fn customer(&self) -> &CustomerId {
        match self {
            Principal::Player(identity) => &identity.customer,
            Principal::Server(key) => &key.customer,
        }
    }

    /// Whether it may. A person's roles count only with a second factor shown: a stolen password alone opens nothing.
    pub fn may(&self, permission: Permission) -> bool {
        match self {
            Principal::Player(identity) => {
                identity.second_factor && identity.roles.iter().any(|role| allows(role, permission))
            }
            Principal::Server(key) => key.scopes.contains(&permission),
        }
    }

    /// Who acted, as the audit log says it.
    pub fn actor(&self) -> String {
        match self {
            Principal::Player(identity) => format!("account:{}", identity.id),
            Principal::Server(key) => format!("key:{}", key.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page is the table.
    #[test]
    fn the_documents_show_what_is_so() {
        let page = include_str!("../../../docs/accounts.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).filter(|line| line.contains(':'));
        let mut shown = 0;
        for row in rows {
            let mut cells = row.trim_end_matches('|').split('|').map(str::trim);
            let name = cells.next().unwrap_or_default().trim_end_matches('`');
            let Ok(permission) = name.parse::<Permission>() else { continue };
            shown += 1;
            for (role, cell) in Role::ALL.into_iter().zip(cells) {
                assert_eq!(cell == "yes", allows(role, permission), "{role} {permission}");
            }
        }
        assert_eq!(shown, Permission::ALL.len());
        assert!(page.contains(
            "| | `player` | `moderator` | `support_agent` | `operator` | `customer_admin` | `admin` |"
        ));
    }
}
