//! Many clients of one server: they join, read everything, and one task sends for all of them.

use crate::contestant::Server;
use crate::door::{Door, Joined};
use crate::line::Sender;
use crate::machine;
use anyhow::{Context, Result, bail};
use everplay_wire::{ClientFrame, Dialect, MessageType, ServerFrame, msgpack};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet, spawn_local};

/// What arrived, for all clients together.
struct Tally {
    began: Instant,
    frames: Cell<u64>,
    bytes: Cell<u64>,
    patches: Cell<u64>,
    counting: Cell<bool>,
    echoes: RefCell<Vec<Duration>>,
    /// The first client that lost its connection, and why.
    lost: RefCell<Option<anyhow::Error>>,
}

/// One client, as the crowd sees it.
struct Member {
    sending: Rc<Sender>,
    room: String,
    /// The tick or step number in its newest patch.
    tick: Rc<Cell<u32>>,
    reading: JoinHandle<()>,
}

/// The clients of one server. Their sockets close when it is dropped.
pub(crate) struct Crowd {
    door: Rc<Door>,
    tally: Rc<Tally>,
    members: Vec<Member>,
    sending: Option<JoinHandle<Result<()>>>,
}

/// What was seen in a while.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// Frames that clients have read.
    pub(crate) frames: u64,
    /// Patches among them.
    pub(crate) patches: u64,
    pub(crate) bytes: u64,
    /// Processor time of the server.
    pub(crate) cpu: Duration,
    /// Shares of a core: the server's, the driver's, and everybody else's on the machine.
    pub(crate) server_share: f64,
    pub(crate) driver_share: f64,
    pub(crate) foreign_share: f64,
    pub(crate) echoes: Vec<Duration>,
}

impl Sample {
    pub(crate) fn cpu_us_per_frame(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.frames.max(1) as f64
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for member in &self.members {
            member.reading.abort();
        }
        if let Some(sending) = &self.sending {
            sending.abort();
        }
    }
}

impl Crowd {
    pub(crate) fn of(server: &Server) -> Self {
        let tally = Tally {
            began: Instant::now(),
            frames: Cell::default(),
            bytes: Cell::default(),
            patches: Cell::default(),
            counting: Cell::default(),
            echoes: RefCell::default(),
            lost: RefCell::default(),
        };
        Crowd { door: Door::new(server.address), tally: Rc::new(tally), members: Vec::new(), sending: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Lets this many clients join any room of a kind, `at_once` of them at a time. Returns how long each took.
    pub(crate) async fn join(&mut self, kind: &str, count: usize, at_once: usize) -> Result<Vec<Duration>> {
        let enter = |door: Rc<Door>| {
            let kind = kind.to_owned();
            async move { door.join("joinOrCreate", &kind, &serde_json::json!({})).await }
        };
        self.enter(count, at_once, enter).await
    }

    /// Makes a room of a kind, and lets `count` clients into it.
    pub(crate) async fn room(&mut self, kind: &str, options: &serde_json::Value, count: usize) -> Result<()> {
        let first = self.door.join("create", kind, options).await?;
        let room = first.room.clone();
        self.add(first);
        let enter = |door: Rc<Door>| {
            let (room, options) = (room.clone(), options.clone());
            async move { door.join("joinById", &room, &options).await }
        };
        self.enter(count - 1, 10, enter).await.map(drop)
    }

    /// Makes this many rooms of a kind with one client each.
    pub(crate) async fn rooms(&mut self, kind: &str, count: usize, at_once: usize) -> Result<()> {
        let enter = |door: Rc<Door>| {
            let kind = kind.to_owned();
            async move { door.join("create", &kind, &serde_json::json!({})).await }
        };
        self.enter(count, at_once, enter).await.map(drop)
    }

    async fn enter<F: Future<Output = Result<Joined>> + 'static>(
        &mut self,
        count: usize,
        at_once: usize,
        enter: impl Fn(Rc<Door>) -> F,
    ) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(count);
        let mut joining = JoinSet::new();
        let mut started = 0;
        while times.len() < count {
            while started < count && joining.len() < at_once.max(1) {
                let (began, entering) = (Instant::now(), enter(Rc::clone(&self.door)));
                joining.spawn_local(async move { (entering.await, began.elapsed()) });
                started += 1;
            }
            let (joined, took) = joining.join_next().await.context("joins are under way")??;
            self.add(joined.with_context(|| format!("client {} cannot join", self.members.len() + 1))?);
            times.push(took);
        }
        self.check()?;
        Ok(times)
    }

    fn add(&mut self, joined: Joined) {
        let Joined { mut line, room } = joined;
        let (tally, tick) = (Rc::clone(&self.tally), Rc::new(Cell::new(0)));
        let sending = Rc::clone(&line.sending);
        let seen = Rc::clone(&tick);
        let reading = spawn_local(async move {
            loop {
                if let Err(error) = line.hear(|frame| tally.take(frame, &seen)).await {
                    tally.lost.borrow_mut().get_or_insert(error);
                    return;
                }
            }
        });
        self.members.push(Member { sending, room, tick, reading });
    }

    /// Sends `per_second` messages from now on, the clients in turns; `message` makes them.
    pub(crate) fn say(&mut self, per_second: f64, mut message: impl FnMut(usize) -> Vec<u8> + 'static) {
        let senders: Vec<Rc<Sender>> = self.members.iter().map(|member| Rc::clone(&member.sending)).collect();
        if let Some(before) = self.sending.take() {
            before.abort();
        }
        self.sending = Some(spawn_local(async move {
            let began = Instant::now();
            let mut sent = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let due = (began.elapsed().as_secs_f64() * per_second) as usize;
                // After a stall the rest is let go: clients do not send the past.
                sent = sent.max(due.saturating_sub(senders.len()));
                while sent < due {
                    let at = sent % senders.len();
                    senders[at].send(&message(at))?;
                    sent += 1;
                }
            }
        }));
    }

    /// Sends echoes; their times are in the next [`Sample`].
    pub(crate) fn echo(&mut self, per_second: f64) {
        let began = self.tally.began;
        self.say(per_second, move |_| {
            // As text: every server gives a text back as it is.
            let now = format!("{:016x}", began.elapsed().as_nanos() as u64);
            let payload = msgpack::to_vec_records(&now).expect("a text can be encoded");
            ClientFrame::Data { ty: MessageType::from("echo"), payload: &payload }.to_vec()
        });
    }

    /// Counts for a while. Errors: a client lost its connection, or could not send.
    pub(crate) async fn watch(&self, server: &Server, length: Duration) -> Result<Sample> {
        let tally = &self.tally;
        tally.echoes.borrow_mut().clear();
        let state = || {
            (
                Instant::now(),
                [&tally.frames, &tally.bytes, &tally.patches].map(Cell::get),
                [
                    machine::processor_time(server.pid),
                    machine::processor_time(std::process::id()),
                    machine::busy_time(),
                ],
            )
        };
        tally.counting.set(true);
        let (began, counts, times) = state();
        tokio::time::sleep(length).await;
        let (ended, later_counts, later_times) = state();
        tally.counting.set(false);
        self.check()?;
        let seconds = (ended - began).as_secs_f64();
        let spent = |at: usize| later_times[at].saturating_sub(times[at]);
        let share = |time: Duration| time.as_secs_f64() / seconds;
        Ok(Sample {
            seconds,
            frames: later_counts[0] - counts[0],
            bytes: later_counts[1] - counts[1],
            patches: later_counts[2] - counts[2],
            cpu: spent(0),
            server_share: share(spent(0)),
            driver_share: share(spent(1)),
            foreign_share: share(spent(2).saturating_sub(spent(0) + spent(1))),
            echoes: tally.echoes.take(),
        })
    }

    /// The newest tick that was seen, by room.
    pub(crate) fn ticks(&self) -> HashMap<&str, u32> {
        let mut ticks = HashMap::new();
        for member in &self.members {
            let newest = ticks.entry(member.room.as_str()).or_default();
            *newest = member.tick.get().max(*newest);
        }
        ticks
    }

    /// Whether all are still there.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(error) = self.tally.lost.borrow_mut().take() {
            return Err(error.context("a client lost its connection"));
        }
        if self.sending.as_ref().is_some_and(JoinHandle::is_finished) {
            bail!("the clients cannot send any more: the server does not read");
        }
        Ok(())
    }
}

impl Tally {
    fn take(&self, frame: &[u8], tick: &Cell<u32>) -> Result<()> {
        self.frames.set(self.frames.get() + 1);
        self.bytes.set(self.bytes.get() + frame.len() as u64);
        match ServerFrame::decode(frame, Dialect::V18)? {
            ServerFrame::Patch { body, .. } => {
                self.patches.set(self.patches.get() + 1);
                // Of every room here the tick is the first field of the root, which comes first: operation and field
                // in one byte, then the number.
                if let [0x80, a, b, c, d, ..] = body {
                    tick.set(u32::from_le_bytes([*a, *b, *c, *d]));
                }
            }
            ServerFrame::Data { ty, payload } if self.counting.get() && ty == MessageType::from("echo") => {
                let text: String =
                    msgpack::from_value(msgpack::read_payload(payload, msgpack::Limits::default())?)?;
                let sent = u64::from_str_radix(&text, 16).context("an echo that nobody sent")?;
                self.echoes
                    .borrow_mut()
                    .push(self.began.elapsed().saturating_sub(Duration::from_nanos(sent)));
            }
            _ => {}
        }
        Ok(())
    }
}
