//! Being shown something later, and rooms where nothing follows what is shown.

use everplay_schema::{Child, Decoder, Following, FullForm, Generation, Map, Replica, State, Tag, ViewId};
use serde_json::{Value as Json, json};

#[derive(State, Default)]
struct Card {
    face: u8,
    #[state(view)]
    mark: u8,
}

#[derive(State, Default)]
struct Hall {
    #[state(view)]
    secret: u8,
    #[state(view = 2)]
    code: u8,
    #[state(view)]
    best: Option<Child<Card>>,
    #[state(view)]
    cards: Map<Card>,
}

fn hall() -> Replica<Hall> {
    let mut hall =
        Hall { secret: 1, code: 2, best: Some(Child::new(Card { face: 3, mark: 4 })), ..Hall::default() };
    hall.cards.insert("a", Card { face: 5, mark: 6 });
    hall.cards.insert("b", Card { face: 7, mark: 8 });
    Replica::new(hall)
}

fn newcomer() -> Decoder {
    Decoder::from_handshake(&Replica::<Hall>::handshake(Generation::Schema5)).expect("our own handshake")
}

/// What a client holds after the next patch.
fn patched(client: &mut Decoder, room: &mut Replica<Hall>, view: ViewId) -> Json {
    room.patch();
    let mut bytes = room.shared_patch().to_vec();
    room.view_patch(view, &mut bytes);
    client.apply(&bytes).expect("our own patch");
    client.to_json()
}

fn joined(room: &Replica<Hall>, view: ViewId) -> Json {
    let (mut client, mut bytes) = (newcomer(), Vec::new());
    room.full_state(Some(view), FullForm::Join, &mut bytes);
    client.apply(&bytes).expect("our own full state");
    client.to_json()
}

#[test]
fn what_is_shown_later_is_sent_when_it_changes_and_to_newcomers() {
    let mut room = hall();
    let (view, mut client) = (room.add_view(), newcomer());
    patched(&mut client, &mut room, view);
    room.show_root_later(view, Tag(2));
    assert_eq!(patched(&mut client, &mut room, view)["secret"], Json::Null, "what is there is not sent");
    assert_eq!(joined(&room, view)["secret"], json!(1));
    assert_eq!(joined(&room, view)["code"], json!(2));
    room.get_mut().secret = 9;
    assert_eq!(patched(&mut client, &mut room, view)["secret"], json!(9));
    assert_eq!(client.to_json()["code"], Json::Null);
    // Being shown at once sends the rest.
    room.show_root(view, Some(Tag(2)));
    assert_eq!(patched(&mut client, &mut room, view)["code"], json!(2));
}

#[test]
fn what_is_shown_later_survives_a_restart() {
    let mut room = hall();
    let view = room.add_view();
    room.show_root_later(view, Tag(0));
    room.patch();
    let mut snapshot = Vec::new();
    room.snapshot(&mut snapshot);
    let mut room =
        Replica::<Hall>::restore(&snapshot).expect("our own snapshot").finish().expect("all is there");
    assert_eq!(joined(&room, view)["secret"], json!(1));
    room.get_mut().secret = 9;
    let mut client = newcomer();
    assert_eq!(patched(&mut client, &mut room, view)["secret"], json!(9));
    room.remove_view(view);
    room.patch();
    assert_eq!(joined(&room, view)["secret"], Json::Null);
}

#[test]
fn where_nothing_follows_each_struct_and_collection_is_shown_by_itself() {
    let mut room = hall();
    room.set_following(Following::Nothing);
    let (view, mut client) = (room.add_view(), newcomer());
    room.show_root(view, None);
    let held = patched(&mut client, &mut room, view);
    assert_eq!(held["secret"], json!(1));
    assert_eq!(held["best"], json!({}), "the field is shown, the child is not");
    assert_eq!(held, joined(&room, view));
    room.get_mut().best.as_mut().expect("set above").show(view);
    room.get_mut().cards.show_empty(view);
    room.get_mut().cards.show("b", view);
    let held = patched(&mut client, &mut room, view);
    assert_eq!(held["best"], json!({ "face": 3, "mark": 4 }));
    assert_eq!(held["cards"], json!({ "b": { "face": 7, "mark": 8 } }));
    assert_eq!(held, joined(&room, view));
    room.get_mut().cards.hide("b", view);
    assert_eq!(patched(&mut client, &mut room, view)["cards"], json!({}));
}
