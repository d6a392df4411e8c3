//! What the services keep of a player beside the account: told when the account's data are asked for, and made nobody's
//! when it is deleted.
//!
//! A game that ends after that is kept and counted for the others: see `counting`, which asks whether a player is still
//! somebody.

use everplay_accounts::PersonalData;
use everplay_api::BoxFuture;
use everplay_boards::Boards;
use everplay_records::{Games, MAX_PAGE, Paging, StoreError};
use everplay_types::CustomerId;
use serde_json::{Value, json};

/// Statistics, and places on boards.
pub(crate) struct Standings(pub(crate) Boards);

impl PersonalData for Standings {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn export<'a>(
        &'a self,
        customer: &'a CustomerId,
        account: &'a str,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(async move {
            // Half of somebody's data is no answer to who asks for all of it.
            if self.0.fresh().stale {
                return Err("the store of standings is away".to_owned());
            }
            serde_json::to_value(self.0.stats(customer, account)).map_err(|error| error.to_string())
        })
    }

    fn erase<'a>(&'a self, customer: &'a CustomerId, account: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.0.forget(customer, account).await.map_err(|error| error.to_string()) })
    }
}

/// Games that were played: the games stay, who played them is taken out.
pub(crate) struct Histories(pub(crate) Games);

impl PersonalData for Histories {
    fn name(&self) -> &'static str {
        "games"
    }

    fn export<'a>(
        &'a self,
        customer: &'a CustomerId,
        account: &'a str,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(async move { self.all(customer, account).await.map_err(|error| error.to_string()) })
    }

    fn erase<'a>(&'a self, customer: &'a CustomerId, account: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let erased = self.0.forget_player(customer, account).await;
            erased.map(drop).map_err(|error| error.to_string())
        })
    }
}

impl Histories {
    async fn all(&self, customer: &CustomerId, account: &str) -> Result<Value, StoreError> {
        let (mut games, mut paging) = (Vec::new(), Paging::first(MAX_PAGE));
        loop {
            let page = self.0.of_player(customer, account, paging).await?;
            games.extend(
                page.items.into_iter().map(|(id, line)| json!({ "gameId": id.to_string(), "game": line })),
            );
            match page.next {
                Some(next) => paging = Paging { limit: MAX_PAGE, after: Some(next) },
                None => return Ok(games.into()),
            }
        }
    }
}
