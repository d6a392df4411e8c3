//! What the services keep of a player beside the account: told when the account's data are asked for, and made nobody's
//! when it is deleted.
//!
//! A game that ends after that is kept and counted for the others: see `counting`, which asks whether a player is still
//! somebody.

use everplay_accounts::{PersonalData, Profile};
use everplay_api::BoxFuture;
use everplay_boards::Boards;
use everplay_records::{Games, MAX_PAGE, Paging, StoreError};
use everplay_types::CustomerId;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a changed profile waits for the boards.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name that boards show, if the profile says it: guests are called as they called themselves in their last game.
pub(crate) fn board_name(profile: &Profile) -> Option<String> {
    Some(profile.display_name.clone()).filter(|name| !profile.guest && !name.is_empty())
}

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

    fn shown<'a>(
        &'a self,
        customer: &'a CustomerId,
        account: &'a str,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<(), String>> {
        let known = everplay_boards::Profile {
            name: board_name(profile),
            region: Some(profile.region.clone().unwrap_or_default()),
        };
        Box::pin(async move {
            // Who changed the profile waits for this; the next game makes good what was not done.
            match tokio::time::timeout(PATIENCE, self.0.set_profile(customer, account, known)).await {
                Ok(done) => done.map_err(|error| error.to_string()),
                Err(_) => Err("the store of standings does not answer".to_owned()),
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_accounts::{AccountStore, Accounts, Device, Parts, ProfileChange, Sealer};
    use everplay_boards::{
        Board, BoardsOptions, GameResult, Order, Outcome, ResultPlayer, Scope, Source, SqliteBoardStore,
    };
    use std::sync::Arc;

    fn game(number: u64, players: [&str; 2]) -> GameResult {
        let player = |(at, player): (usize, &&str)| ResultPlayer {
            player: (*player).to_owned(),
            name: format!("in game {number}"),
            region: None,
            outcome: if at == 0 { Outcome::Won } else { Outcome::Lost },
        };
        GameResult {
            customer: CustomerId::default(),
            source: Source { name: "room".into(), number },
            game: "duel".into(),
            ended_at: 1_795_248_000_000,
            took_ms: 1000,
            players: players.iter().enumerate().map(player).collect(),
        }
    }

    /// Nobody has to play another game to be found where they are at home now.
    #[tokio::test]
    async fn boards_show_a_changed_profile_at_once() {
        let store = Arc::new(SqliteBoardStore::memory().unwrap());
        let boards = Boards::start(store, BoardsOptions::default());
        let mut parts = Parts::new(AccountStore::memory().await.unwrap(), Sealer::ephemeral());
        parts.personal = vec![Arc::new(Standings(boards.clone()))];
        let accounts = Accounts::start(parts).await.unwrap();
        let customer = CustomerId::default();
        let ada = accounts.guest(&customer, json!({}), &Device::default()).await.unwrap();
        let id = ada.identity.id.as_str();
        boards.take((1..=5).map(|number| game(number, [id, "bob"])).collect()).await.unwrap();
        let regional = |region: &str| {
            let board =
                Board { scope: Scope::Game("duel".into()), region: Some(region.into()), order: Order::Wins };
            boards.row(&customer, &board, id)
        };
        assert!(regional("eu-north").is_none());
        for (region, other) in [("eu-north", "eu-south"), ("eu-south", "eu-north")] {
            let change = ProfileChange { region: Some(region.to_owned()), ..ProfileChange::default() };
            accounts.change_profile(&ada.identity, &change).await.unwrap();
            let row = regional(region).expect("the board of the new region");
            assert_eq!((row.rank, row.name.as_str()), (1, "in game 5"), "guests keep the name of their game");
            assert!(regional(other).is_none());
        }
        let mut profile = accounts.profile(&customer, id).await.unwrap();
        (profile.guest, profile.display_name) = (false, "Ada".to_owned());
        Standings(boards.clone()).shown(&customer, id, &profile).await.unwrap();
        assert_eq!(regional("eu-south").unwrap().name, "Ada");
    }
}
