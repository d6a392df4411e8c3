//! A room is told how much of the service there is: each change once, over crashes, snapshots and repeated words.

mod harness;

use everplay_room::{Context, Input, Refusal, Room};
use everplay_schema::{List, State};
use everplay_types::ServiceLevel;
use harness::Harness;
use serde_json::json;

#[derive(State, Default)]
struct Lamp {
    told: List<String>,
    /// What the context says in the hook that runs.
    now: String,
    joins: u32,
}

impl Room for Lamp {
    type Options = serde_json::Value;
    type Timer = ();

    fn create(cx: &mut Context<Self>, _: serde_json::Value) -> Result<Self, Refusal> {
        Ok(Lamp { now: cx.service().name().to_owned(), ..Lamp::default() })
    }

    fn join(
        &mut self,
        cx: &mut Context<Self>,
        _: &everplay_room::Client,
        _: serde_json::Value,
    ) -> Result<(), Refusal> {
        if cx.service() >= ServiceLevel::Maintenance {
            return Err(Refusal::new(4400, "nobody is let in"));
        }
        self.joins += 1;
        Ok(())
    }

    fn restored(&mut self, cx: &mut Context<Self>) {
        self.now = format!("{} again", cx.service().name());
    }

    fn service(&mut self, cx: &mut Context<Self>, level: ServiceLevel) {
        assert_eq!(cx.service(), level);
        self.now = level.name().to_owned();
        self.told.push(level.name().to_owned());
        cx.broadcast("level", &level.number());
        if level == ServiceLevel::Maintenance && self.told.len() > 4 {
            cx.disconnect();
        }
    }
}

fn say(harness: &mut Harness, level: ServiceLevel) {
    harness.input(Input::Service { level });
    harness.pass(100);
}

#[test]
fn each_change_is_told_once_and_seen_like_any_other_turn() {
    let mut harness = Harness::new::<Lamp>(json!({}));
    harness.join("ann");
    let written = harness.journal.len();
    say(&mut harness, ServiceLevel::Full);
    assert_eq!(harness.journal.len(), written, "nothing changed, so nothing is written");
    for level in [ServiceLevel::Limited, ServiceLevel::Limited, ServiceLevel::Emergency, ServiceLevel::Full] {
        say(&mut harness, level);
    }
    let seen = harness.peers["ann"].state();
    assert_eq!(seen["told"], json!(["limited", "emergency", "full"]));
    let messages: Vec<_> = harness.peers["ann"].messages.iter().map(|(_, level)| level.clone()).collect();
    assert_eq!(messages, [json!(1), json!(2), json!(0)]);
    assert_eq!(harness.inspect(), seen);
}

#[test]
fn a_crash_neither_repeats_nor_forgets_it() {
    let mut harness = Harness::new::<Lamp>(json!({}));
    assert_eq!(harness.inspect()["now"], "full");
    harness.join("ann");
    say(&mut harness, ServiceLevel::Emergency);
    harness.crash();
    harness.pass(100);
    assert_eq!(harness.inspect()["now"], "emergency again");
    say(&mut harness, ServiceLevel::Emergency);
    assert_eq!(harness.inspect()["told"], json!(["emergency"]));
    harness.take_snapshot();
    harness.crash();
    // Its new server serves everything.
    say(&mut harness, ServiceLevel::Full);
    assert_eq!(harness.inspect()["told"], json!(["emergency", "full"]));
}

#[test]
fn a_hook_may_ask_and_may_end_the_room() {
    let mut harness = Harness::new::<Lamp>(json!({}));
    harness.join("ann");
    say(&mut harness, ServiceLevel::Maintenance);
    harness.reserve("bob", json!({}));
    harness.connect("bob", None, false, None);
    assert_eq!(harness.peers["bob"].errors, [(4400, "nobody is let in".to_owned())]);
    for level in [ServiceLevel::Full, ServiceLevel::Limited, ServiceLevel::Full, ServiceLevel::Maintenance] {
        say(&mut harness, level);
    }
    assert!(harness.ended);
    // A word that comes late finds nobody.
    say(&mut harness, ServiceLevel::Full);
}
