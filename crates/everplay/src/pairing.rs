//! Rooms for two who were matched: makes one and reserves both seats, in the form that SDKs consume.

use everplay_api::levels::{Coming, Levels};
use everplay_node::{Handle, MatchRequest, Method, Reservation};
use everplay_room::AuthRequest;
use everplay_types::Identity;
use everplay_wire::matchmake::{RoomListing, SeatReservation};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The rooms of a node, for matchmaking.
pub(crate) struct RoomSeats {
    pub(crate) node: Handle,
    /// Told to clients with their seat.
    pub(crate) public_address: Option<String>,
    /// Room kinds that two can be matched for, with the options of such a room.
    pub(crate) kinds: HashMap<String, Map<String, Value>>,
    /// How much of the service there is.
    pub(crate) levels: Levels,
}

impl RoomSeats {
    async fn seat(
        &self,
        method: Method,
        target: &str,
        game: &str,
        who: &Identity,
    ) -> Result<Reservation, String> {
        let mut options = self.kinds.get(game).cloned().unwrap_or_default();
        options.insert("name".to_owned(), who.name.clone().into());
        let request = MatchRequest {
            method,
            target: target.to_owned(),
            options: Value::Object(options),
            auth: AuthRequest { identity: Some(who.clone()), ..AuthRequest::default() },
        };
        self.node.matchmake(request).await.map_err(|error| error.to_string())
    }

    fn answer(&self, seat: Reservation) -> Value {
        let room = RoomListing {
            name: seat.name,
            process_id: seat.process_id.into(),
            room_id: seat.room_id.into(),
            clients: seat.clients,
            max_clients: Some(seat.max_clients),
            public_address: self.public_address.clone(),
        };
        serde_json::to_value(SeatReservation::new(seat.session_id.into(), room))
            .expect("a reservation has only texts and numbers")
    }

    /// Makes a room for two and reserves a seat in it for each, in this order. The answers are what matchmaking of the SDKs
    /// answers, for `consumeSeatReservation`. Errors: what kept it, for the log.
    pub(crate) async fn pair(&self, game: &str, players: [&Identity; 2]) -> Result<[Value; 2], String> {
        self.levels.admit_player(Coming::Opening).map_err(|refusal| refusal.message)?;
        let one = self.seat(Method::Create, game, game, players[0]).await?;
        // If the second seat fails, the first one expires by itself, and the room with it.
        let two = self.seat(Method::JoinById, one.room_id.as_str(), game, players[1]).await?;
        Ok([self.answer(one), self.answer(two)])
    }
}
