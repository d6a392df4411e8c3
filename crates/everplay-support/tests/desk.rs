//! The desk over real stores: who sees and does what, clocks, races, and notices that outlive the process.

use everplay_records::{
    Condition, Cursor, Key, MemoryRecordStore, Paging, RecordStore, SqliteRecordStore, Table, Ticket, Write,
};
use everplay_support::{
    BoxFuture, Category, Change, Channel, Channels, Courier, CourierError, Desk, DeskError, Event, Filter,
    GameRef, LIMITS, NewReply, NewTicket, Outbox, Position, Priority, Side, Status, Told, Witness,
    WitnessError, now_ms,
};
use everplay_types::{CustomerId, RoomId};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc;

const HOUR: u64 = 3_600_000;
const ALL: Channels = Channels { player_mail: true, desk_mail: true, webhook: true };

/// Knows one room with 9 records.
struct OneRoom;

impl Witness for OneRoom {
    fn position<'a>(
        &'a self,
        _: &'a CustomerId,
        room: &'a RoomId,
        seq: Option<u64>,
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<Position, WitnessError>> {
        Box::pin(async move {
            if room.as_str() != "ROOM" {
                return Err(WitnessError::Unknown);
            }
            let seq = seq.unwrap_or(9);
            Ok(Position { seq: seq.min(9), exact: seq <= 9, body: json!({ "state": { "turn": seq } }) })
        })
    }
}

fn desk_on(store: Arc<dyn RecordStore>) -> Desk {
    Desk::new(store, Arc::new(OneRoom), ALL)
}

fn desk() -> Desk {
    desk_on(Arc::new(MemoryRecordStore::new()))
}

fn who() -> CustomerId {
    CustomerId::default()
}

fn new(subject: &str) -> NewTicket {
    NewTicket {
        subject: subject.to_owned(),
        description: "This is what happened to me.".to_owned(),
        category: None,
        game: None,
    }
}

fn says(text: &str) -> NewReply {
    NewReply { text: text.to_owned(), internal: false, status: None }
}

fn ada() -> Side {
    Side::Player("ada".to_owned())
}

fn agent() -> Side {
    Side::Agent("account:gus".to_owned())
}

async fn opened(desk: &Desk, subject: &str) -> Ticket {
    desk.open(&who(), "ada", "Ada", new(subject)).await.unwrap()
}

#[tokio::test]
async fn a_ticket_goes_from_hand_to_hand() {
    let desk = desk();
    let ticket = opened(&desk, "I was charged twice").await;
    assert_eq!((ticket.category.as_str(), ticket.priority.as_str()), ("billing", "high"));
    assert_eq!(ticket.due_at - ticket.created_at, 24 * HOUR);
    let id = ticket.ticket_id.as_str();
    let after = desk.reply(&who(), &agent(), id, says("By which card?")).await.unwrap();
    assert_eq!(
        (after.status.as_str(), after.assignee.as_deref()),
        ("waiting_for_customer", Some("account:gus"))
    );
    let note = NewReply { internal: true, ..says("looks like the other one") };
    desk.reply(&who(), &agent(), id, note.clone()).await.unwrap();
    let after = desk.reply(&who(), &ada(), id, says("The blue one.")).await.unwrap();
    assert_eq!((after.status.as_str(), after.replies), ("in_progress", 3));
    let seen = async |side: &Side| {
        let said = desk.replies(&who(), side, id, 10, None).await.unwrap();
        said.items.into_iter().map(|reply| reply.text).collect::<Vec<_>>()
    };
    assert_eq!(seen(&ada()).await, ["By which card?", "The blue one."]);
    assert_eq!(seen(&agent()).await, ["By which card?", "looks like the other one", "The blue one."]);
    let done = NewReply { status: Some(Status::Resolved), ..says("You got it back.") };
    assert!(matches!(
        desk.reply(&who(), &ada(), id, done.clone()).await,
        Err(DeskError::ForAgents("status"))
    ));
    assert!(matches!(desk.reply(&who(), &ada(), id, note).await, Err(DeskError::ForAgents("internal"))));
    assert_eq!(desk.reply(&who(), &agent(), id, done).await.unwrap().status, "resolved");
    assert_eq!(desk.reply(&who(), &ada(), id, says("Not all of it.")).await.unwrap().status, "open");
    let close = Change { status: Some(Status::Closed), ..Change::default() };
    let closed = desk.change(&who(), &ada(), id, close.clone()).await.unwrap();
    assert!(closed.status == "closed" && !closed.clock_runs);
    for refused in [
        desk.reply(&who(), &ada(), id, says("One more thing")).await,
        desk.reply(&who(), &agent(), id, says("Yes?")).await,
        desk.change(&who(), &agent(), id, close).await,
    ] {
        assert!(matches!(refused, Err(DeskError::Transition { from: Status::Closed })), "{refused:?}");
    }
}

#[tokio::test]
async fn nobody_sees_a_strangers_ticket() {
    let desk = desk();
    let id = opened(&desk, "Something private").await.ticket_id;
    let eve = Side::Player("eve".to_owned());
    assert!(matches!(desk.get(&who(), &eve, &id).await, Err(DeskError::NotFound)));
    assert!(matches!(desk.reply(&who(), &eve, &id, says("x")).await, Err(DeskError::NotFound)));
    assert!(matches!(desk.replies(&who(), &eve, &id, 9, None).await, Err(DeskError::NotFound)));
    assert!(matches!(desk.change(&who(), &eve, &id, Change::default()).await, Err(DeskError::NotFound)));
    let elsewhere = CustomerId::new("elsewhere").unwrap();
    assert!(matches!(desk.get(&elsewhere, &agent(), &id).await, Err(DeskError::NotFound)));
    assert!(matches!(desk.get(&who(), &agent(), "../../../..").await, Err(DeskError::NotFound)));
}

#[tokio::test]
async fn players_cannot_make_themselves_important() {
    let desk = desk();
    let id = opened(&desk, "A wish of mine").await.ticket_id;
    for change in [
        Change { priority: Some(Priority::Urgent), ..Change::default() },
        Change { category: Some(Category::Billing), ..Change::default() },
        Change { assignee: Some(None), ..Change::default() },
    ] {
        assert!(matches!(desk.change(&who(), &ada(), &id, change).await, Err(DeskError::ForAgents(_))));
    }
    let change = Change {
        priority: Some(Priority::Urgent),
        category: Some(Category::Account),
        assignee: Some(Some("account:gus".to_owned())),
        version: Some(1),
        ..Change::default()
    };
    let changed = desk.change(&who(), &agent(), &id, change.clone()).await.unwrap();
    assert_eq!((changed.priority.as_str(), changed.category.as_str()), ("urgent", "account"));
    assert_eq!(changed.due_at, changed.created_at + 4 * HOUR);
    assert!(matches!(desk.change(&who(), &agent(), &id, change).await, Err(DeskError::Outdated(2))));
}

#[tokio::test]
async fn fields_have_bounds() {
    let desk = desk();
    for (subject, description) in [
        ("four", "long enough, really"),
        ("fits well", "short"),
        ("two\nlines", "long enough, really"),
        (&"x".repeat(201), "long enough, really"),
        ("fits well", &"x".repeat(5001)),
        ("      ", "            "),
    ] {
        let new = NewTicket { description: description.to_owned(), ..new(subject) };
        let answer = desk.open(&who(), "ada", "Ada", new).await;
        assert!(matches!(answer, Err(DeskError::Field { .. })), "{subject:?}");
    }
    for _ in 0..LIMITS.open {
        opened(&desk, "One of many").await;
    }
    assert!(matches!(desk.open(&who(), "ada", "Ada", new("One more")).await, Err(DeskError::TooMany(20))));
    desk.open(&who(), "bob", "Bob", new("Another's first")).await.unwrap();
}

#[tokio::test]
async fn the_game_stays_with_the_ticket() {
    let desk = desk();
    let game = |room: &str, seq| Some(GameRef { room: RoomId::new(room).unwrap(), seq, number: None });
    let about = NewTicket { game: game("ROOM", Some(4)), ..new("That was no legal move") };
    let ticket = desk.open(&who(), "ada", "Ada", about).await.unwrap();
    let evidence = ticket.evidence.unwrap();
    assert_eq!((evidence.room.as_str(), evidence.seq), ("ROOM", 4));
    let kept = desk.evidence(&who(), &ticket.ticket_id).await.unwrap().unwrap();
    assert_eq!(kept, json!({ "seq": 4, "exact": true, "position": { "state": { "turn": 4 } } }));
    let unknown = NewTicket { game: game("ELSE", None), ..new("That was no legal move") };
    assert!(matches!(desk.open(&who(), "ada", "Ada", unknown).await, Err(DeskError::NoSuchGame)));
    let without = opened(&desk, "About nothing").await;
    assert_eq!(desk.evidence(&who(), &without.ticket_id).await.unwrap(), None);
}

#[tokio::test]
async fn the_clocks_ring_once_however_many_listen() {
    let desk = desk();
    let ticket = opened(&desk, "Hello you there").await;
    assert_eq!(desk.ring(now_ms()).await.unwrap(), 0);
    let late = ticket.due_at + 1;
    let rung: usize = {
        let nodes = (0..4).map(|_| {
            let desk = desk.clone();
            tokio::spawn(async move { desk.ring(late).await.unwrap() })
        });
        let mut sum = 0;
        for node in nodes.collect::<Vec<_>>() {
            sum += node.await.unwrap();
        }
        sum
    };
    assert_eq!(rung, 1);
    let escalated = desk.get(&who(), &agent(), &ticket.ticket_id).await.unwrap();
    assert_eq!((escalated.priority.as_str(), escalated.due_at), ("urgent", late + 4 * HOUR));
    assert!(desk.look(&escalated, late).unwrap().overdue);
    // Answered, and silence: it is resolved, and a week later closed.
    desk.reply(&who(), &agent(), &ticket.ticket_id, says("Which game?")).await.unwrap();
    for status in ["resolved", "closed"] {
        let ticket = desk.get(&who(), &agent(), &ticket.ticket_id).await.unwrap();
        assert_eq!(desk.ring(ticket.due_at).await.unwrap(), 1);
        assert_eq!(desk.get(&who(), &agent(), &ticket.ticket_id).await.unwrap().status, status);
    }
    assert_eq!(desk.ring(u64::MAX / 2).await.unwrap(), 0);
}

/// A record of another release, in the place where those of this one are.
async fn put(store: &Arc<dyn RecordStore>, table: Table, item: Value) {
    let item = item.as_object().unwrap().clone();
    store.write(vec![Write::Put { table, item, condition: Condition::Always }]).await.unwrap();
}

#[tokio::test]
async fn a_ticket_that_cannot_be_read_silences_no_other_clock() {
    let store: Arc<dyn RecordStore> = Arc::new(MemoryRecordStore::new());
    let desk = desk_on(Arc::clone(&store));
    // More than one look takes, all due before the one that is whole.
    for n in 0..150 {
        let id = format!("{}/STRANGE{n}", who());
        let head = json!({
            "ticketId": id, "part": 0, "customer": who(), "authorId": format!("{}/eve", who()),
            "clock": "running", "dueAt": n, "version": 1,
        });
        put(&store, Table::Tickets, head).await;
    }
    // Read, but with a clock that is not of this release.
    let broken = opened(&desk, "My clock is broken").await;
    let key = Key::pair(format!("{}/{}", who(), broken.ticket_id), 0);
    let mut head = store.get(Table::Tickets, key).await.unwrap().unwrap();
    head["more"]["sla"] = json!("sundial");
    head.insert("dueAt".to_owned(), json!(200));
    put(&store, Table::Tickets, Value::Object(head)).await;
    let whole = opened(&desk, "Hello you there").await;
    let late = whole.due_at + 1;
    assert_eq!(desk.ring(late).await.unwrap(), 1);
    let escalated = desk.get(&who(), &agent(), &whole.ticket_id).await.unwrap();
    assert_eq!((escalated.priority.as_str(), escalated.version), ("urgent", 2));
    assert_eq!(desk.ring(late).await.unwrap(), 0);
}

#[tokio::test]
async fn racing_answers_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk_on(Arc::new(SqliteRecordStore::open(folder.path().join("records.sqlite")).unwrap()));
    let id = opened(&desk, "Everybody answers").await.ticket_id;
    let answers = (0..4).map(|n| {
        let (desk, id) = (desk.clone(), id.clone());
        tokio::spawn(async move { desk.reply(&who(), &agent(), &id, says(&format!("answer {n}"))).await })
    });
    for answer in answers.collect::<Vec<_>>() {
        answer.await.unwrap().unwrap();
    }
    let said = desk.replies(&who(), &agent(), &id, 100, None).await.unwrap().items;
    assert_eq!(said.iter().map(|reply| &reply.text).collect::<HashSet<_>>().len(), 4);
    assert_eq!(desk.get(&who(), &agent(), &id).await.unwrap().replies, 4);
}

#[tokio::test]
async fn lists_search_and_pages() {
    let desk = desk();
    for n in 0..30 {
        let author = ["ada", "bob", "cyd"][n % 3];
        let subject = if n % 10 == 7 { "The board stands still" } else { "A question of mine" };
        desk.open(&who(), author, &author.to_uppercase(), new(subject)).await.unwrap();
    }
    let pages = async |filter: Filter, limit: u32| {
        let (mut all, mut after): (Vec<String>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page = desk.list(&who(), &filter, limit, after, now_ms()).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            all.extend(page.items.into_iter().map(|ticket| ticket.ticket_id));
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    };
    let search = |text: &str| Filter { search: Some(text.to_owned()), ..Filter::default() };
    let all = pages(Filter::default(), 4).await;
    assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (30, 30));
    assert_eq!(pages(search("board stil"), 2).await.len(), 3);
    assert_eq!(pages(search("ADA question"), 3).await.len(), 9);
    assert_eq!(pages(search("nowhere"), 3).await.len(), 0);
    assert_eq!(pages(search(&all[3]), 3).await, [all[3].clone()]);
    let adas = Filter { author: Some("ada".to_owned()), ..Filter::default() };
    assert_eq!(pages(adas, 3).await.len(), 10);
    desk.reply(&who(), &agent(), &all[5], says("I take this one")).await.unwrap();
    let mine = Filter { assignee: Some("account:gus".to_owned()), ..Filter::default() };
    assert_eq!(pages(mine, 3).await, [all[5].clone()]);
    let open = Filter { status: Some(Status::Open), ..Filter::default() };
    assert_eq!(pages(open, 7).await.len(), 29);
    let long = desk.list(&who(), &search(&"x".repeat(201)), 3, None, now_ms()).await;
    assert!(matches!(long, Err(DeskError::Field { field: "q", .. })));
}

#[tokio::test]
async fn an_account_is_forgotten() {
    let desk = desk();
    let id = opened(&desk, "Nobody should know").await.ticket_id;
    desk.reply(&who(), &ada(), &id, says("Really.")).await.unwrap();
    assert_eq!(desk.all_of(&who(), "ada").await.unwrap().len(), 1);
    desk.forget(&who(), "ada").await.unwrap();
    desk.forget(&who(), "ada").await.unwrap();
    assert!(desk.all_of(&who(), "ada").await.unwrap().is_empty());
    assert!(matches!(desk.get(&who(), &agent(), &id).await, Err(DeskError::NotFound)));
}

/// Refuses the first deliveries, tells of the others.
struct Reluctant {
    refusals: AtomicU32,
    told: mpsc::UnboundedSender<(Channel, String, Told)>,
}

impl Courier for Reluctant {
    fn deliver<'a>(
        &'a self,
        _: &'a CustomerId,
        channel: Channel,
        id: &'a str,
        told: &'a Told,
    ) -> BoxFuture<'a, Result<(), CourierError>> {
        Box::pin(async move {
            let refuses = |left: u32| left.checked_sub(1);
            if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuses).is_ok() {
                return Err(CourierError::Never("nobody lives there".to_owned()));
            }
            self.told.send((channel, id.to_owned(), told.clone())).unwrap();
            Ok(())
        })
    }
}

#[tokio::test]
async fn what_was_to_be_told_is_told_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite");
    {
        // The process ends before anything was delivered.
        let desk = desk_on(Arc::new(SqliteRecordStore::open(&path).unwrap()));
        opened(&desk, "Nobody hears me").await;
    }
    let store = Arc::new(SqliteRecordStore::open(&path).unwrap());
    let desk = desk_on(store);
    let (told, mut heard) = mpsc::unbounded_channel();
    let courier = Arc::new(Reluctant { refusals: AtomicU32::new(0), told });
    let outbox = Outbox::start(desk.notices(), courier.clone(), desk.wake());
    let mut channels = HashSet::new();
    for _ in 0..3 {
        let (channel, _, told) = heard.recv().await.unwrap();
        assert_eq!((told.event, told.author_id.as_str()), (Event::Opened, "ada"));
        channels.insert(format!("{channel:?}"));
    }
    assert_eq!(channels.len(), 3);
    // What is new is told at once, and internal notes are not.
    let id = desk.list(&who(), &Filter::default(), 1, None, 0).await.unwrap().items[0].ticket_id.clone();
    let note = NewReply { internal: true, ..says("psst") };
    desk.reply(&who(), &agent(), &id, note).await.unwrap();
    desk.reply(&who(), &agent(), &id, says("I hear you")).await.unwrap();
    for _ in 0..2 {
        let (channel, _, told) = heard.recv().await.unwrap();
        assert_eq!((told.event, told.text.as_deref()), (Event::AgentReplied, Some("I hear you")));
        assert_ne!(channel, Channel::DeskMail);
    }
    // What nobody takes is kept for people.
    courier.refusals.store(3, Ordering::SeqCst);
    opened(&desk, "Nobody hears me either").await;
    while desk.notices().failed(10).await.unwrap().notices.len() < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(outbox);
    assert!(heard.try_recv().is_err());
    assert!(desk.notices().due(u64::MAX / 2, Paging::first(10).limit).await.unwrap().notices.is_empty());
}

#[tokio::test]
async fn a_notice_that_cannot_be_read_holds_up_no_other() {
    let store: Arc<dyn RecordStore> = Arc::new(MemoryRecordStore::new());
    let desk = desk_on(Arc::clone(&store));
    // More than one look takes, all due before those that are whole.
    for n in 0..40 {
        let notice =
            json!({ "noticeId": format!("strange-{n}"), "queue": "waiting", "dueAt": n, "version": 1 });
        put(&store, Table::Notices, notice).await;
    }
    opened(&desk, "Does anybody hear me?").await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let courier = Arc::new(Reluctant { refusals: AtomicU32::new(0), told });
    let outbox = Outbox::start(desk.notices(), courier, desk.wake());
    for _ in 0..3 {
        let (_, _, told) = heard.recv().await.unwrap();
        assert_eq!(told.event, Event::Opened);
    }
    drop(outbox);
    let left = desk.notices().due(u64::MAX / 2, 100).await.unwrap();
    assert_eq!((left.unreadable.len(), left.unreadable[0].0.as_str()), (40, "strange-0"));
}
