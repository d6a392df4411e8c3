//! Accounts over HTTP: one's own, everybody's profile, and what staff may do.

mod own;
mod problems;
mod profiles;
mod staff;

use crate::{ApiError, Authenticate, BoxFuture, Rejected};
use everplay_accounts::{AccountError, Accounts, Principal, Unverified};
use everplay_types::{CustomerId, Identity, timestamp};
use utoipa_axum::router::OpenApiRouter;

pub use own::{Account, AccountLogin};
pub use profiles::UserProfile;

/// The routes: `/users`, `/account`, `/admin`.
pub fn routes(accounts: Accounts) -> OpenApiRouter {
    OpenApiRouter::new()
        .merge(own::routes())
        .merge(profiles::routes())
        .merge(staff::routes())
        .with_state(accounts)
}

impl Authenticate for Accounts {
    fn authenticate<'a>(&'a self, bearer: &'a str) -> BoxFuture<'a, Result<Principal, Rejected>> {
        Box::pin(async move {
            self.verify(bearer).await.map_err(|error| match error {
                Unverified::Invalid | Unverified::Ended => Rejected::Invalid,
                Unverified::Unavailable => Rejected::Unavailable,
            })
        })
    }

    fn believe(&self, bearer: &str) -> Option<Identity> {
        Accounts::believe(self, bearer)
    }
}

/// Refuses what is no account of the customer. Who cannot be asked now is taken for one: what is kept of players is
/// answered while the account store is away.
pub(crate) async fn is_account(accounts: &Accounts, customer: &CustomerId, id: &str) -> Result<(), ApiError> {
    match accounts.profile(customer, id).await {
        Err(AccountError::NotFound(_)) => Err(ApiError::not_found("account")),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Milliseconds since 1970 as answers tell them.
pub(crate) fn time(at: i64) -> String {
    timestamp(u64::try_from(at).unwrap_or_default())
}
