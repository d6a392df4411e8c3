//! Inputs of rooms with a fixed step, from a socket of this node.

mod common;

use common::{Player, Socket, Stores, attach, options};
use everplay_live::{Arbiter, LiveStore};
use everplay_node::{Handle, Kind, MatchRequest, Method, Node, PushError};
use everplay_room::{
    AuthRequest, Client, Context, InputMeta, InputSettings, Messages, Refusal, Room, RoomType, Settings,
};
use everplay_schema::{Map, State};
use everplay_wire::ClientFrame;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[derive(State, Default)]
struct Lane {
    cars: Map<Car>,
}

#[derive(State, Default)]
struct Car {
    moves: u32,
    /// Of the inputs as they came, so that their order shows.
    digest: u32,
    /// Inputs that were consumed when the message came.
    marked: u32,
}

#[derive(State, Default)]
struct Wheel {
    steer: u8,
}

impl Room for Lane {
    type Options = serde_json::Value;
    type Timer = ();

    fn settings() -> Settings {
        Settings {
            tick: Some(Duration::from_millis(5)),
            patch_interval: Duration::from_millis(5),
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        on.input(
            InputSettings::default(),
            |lane: &mut Lane, _cx, client, wheel: &Wheel, _meta: &InputMeta| {
                if let Some(car) = lane.cars.get_mut(client.session_id()) {
                    car.moves += 1;
                    car.digest = car.digest.wrapping_mul(31).wrapping_add(u32::from(wheel.steer));
                }
            },
        );
        on.message("mark", |lane: &mut Lane, _cx, client, (): ()| {
            if let Some(car) = lane.cars.get_mut(client.session_id()) {
                car.marked = car.moves + 1;
            }
            Ok(())
        });
    }

    fn create(_: &mut Context<Self>, _: serde_json::Value) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn join(&mut self, _: &mut Context<Self>, client: &Client, _: serde_json::Value) -> Result<(), Refusal> {
        self.cars.insert(client.session_id(), Car::default());
        Ok(())
    }
}

async fn node(mailbox: usize) -> Handle {
    let stores = Stores::new();
    let live: Arc<dyn LiveStore> = Arc::new(stores.live.clone());
    let arbiter: Arc<dyn Arbiter> = Arc::new(stores.arbiter.clone());
    let mut options = options();
    options.limits.mailbox = mailbox;
    let kind = Kind::new(Arc::new(Arc::new(RoomType::<Lane>::new("lane"))));
    let node = Node::start(options, vec![kind], live, arbiter);
    node.restore().await.expect("the directory can be read");
    node
}

/// A client that has JOIN_ROOM and has not acknowledged it.
async fn enter(node: &Handle) -> Player {
    let request = MatchRequest {
        method: Method::JoinOrCreate,
        target: "lane".into(),
        options: json!({}),
        auth: AuthRequest::default(),
    };
    let seat = node.matchmake(request).await.expect("a seat");
    let socket = Arc::new(Socket::default());
    let link = attach(node, &seat, None, false, &socket).await;
    let player = Player { seat, socket, link: Some(link) };
    player.until("join", |seen| seen.token.clone()).await;
    player
}

fn steer(player: &Player, steer: u8) -> Result<(), PushError> {
    let body = [0x80, steer];
    let frame = ClientFrame::InputReliable { stamp: None, body: &body }.to_vec();
    player.link.as_ref().expect("attached").push(frame.into())
}

async fn car(player: &Player, what: &str, done: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let session = player.seat.session_id.as_str();
    player
        .until(what, |seen| {
            assert_eq!(seen.closed, None, "{what}");
            let car = seen.decoder.as_ref()?.to_json()["cars"][session].take();
            done(&car).then_some(car)
        })
        .await
}

#[tokio::test]
async fn inputs_behind_an_acknowledgement_arrive_after_it_and_in_order() {
    let node = node(1_024).await;
    for _ in 0..20 {
        let player = enter(&node).await;
        // In one go: the room has looked at nothing yet.
        player.send(ClientFrame::Ack);
        let mut digest = 0_u32;
        for number in 1..=20 {
            steer(&player, number).expect("there is space");
            digest = digest.wrapping_mul(31).wrapping_add(u32::from(number));
        }
        let car = car(&player, "twenty moves", |car| car["moves"] == 20).await;
        assert_eq!(car["digest"], digest);
    }
}

#[tokio::test]
async fn messages_do_not_wait_for_inputs() {
    let node = node(1_024).await;
    let player = enter(&node).await;
    player.send(ClientFrame::Ack);
    for number in 1..=10 {
        steer(&player, number).expect("there is space");
    }
    player.message("mark", &());
    let car = car(&player, "the mark", |car| car["marked"].as_u64() > Some(0) && car["moves"] == 10).await;
    assert!(car["marked"].as_u64() <= Some(11), "{car}");
}

#[tokio::test]
async fn what_a_room_cannot_hold_is_given_back_and_the_order_stays() {
    let node = node(4).await;
    let player = enter(&node).await;
    player.send(ClientFrame::Ack);
    let (mut refused, mut digest) = (0, 0_u32);
    for number in 1..=40 {
        while let Err(error) = steer(&player, number) {
            assert!(matches!(error, PushError::Full(_)), "{error}");
            refused += 1;
            tokio::task::yield_now().await;
        }
        digest = digest.wrapping_mul(31).wrapping_add(u32::from(number));
    }
    assert!(refused > 0, "forty inputs fitted into four places");
    let car = car(&player, "forty moves", |car| car["moves"] == 40).await;
    assert_eq!(car["digest"], digest);
}
