//! Whether what clients were shown is one history: pure.
//!
//! ```text
//! frames of one client -> Witness: never back, never twice, no gap, every link holds
//! what all witnesses saw, and the journals -> History: one chain per step
//! ```

use crate::chronicle::{RING, after};
use everplay_schema::{Decoder, Node, Value};
use std::collections::BTreeMap;

/// What a state says at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) tick: u32,
    pub(crate) chain: u64,
    links: Vec<u64>,
    /// Done, last and again of the client that reads.
    scribe: Option<[u32; 3]>,
}

impl Page {
    /// As somebody else has read it: the links that are needed, the others 0.
    pub(crate) fn new(tick: u32, chain: u64, links: Vec<u64>, scribe: Option<[u32; 3]>) -> Page {
        Page { tick, chain, links, scribe }
    }

    /// Reads a client's decoded state. `None`: it is not this room's.
    pub(crate) fn of(state: &Decoder, session: &str) -> Option<Page> {
        let Node::Struct { fields, .. } = state.root() else { return None };
        let [tick, chain, Value::Ref(links), _, Value::Ref(scribes), ..] = &fields[..] else { return None };
        let Some(Node::Array { items, .. }) = state.node(*links) else { return None };
        let Some(Node::Map { items: scribes, .. }) = state.node(*scribes) else { return None };
        let mine = scribes.values().find(|(name, _)| &**name == session);
        let scribe = match mine {
            Some((_, Value::Ref(scribe))) => match state.node(*scribe) {
                Some(Node::Struct { fields, .. }) => {
                    let number = |at: usize| u32::try_from(whole(fields.get(at)?)?).ok();
                    Some([number(0)?, number(1)?, number(2)?])
                }
                _ => return None,
            },
            _ => None,
        };
        Some(Page {
            tick: u32::try_from(whole(tick)?).ok()?,
            chain: whole(chain)?,
            links: items.values().iter().map(whole).collect::<Option<_>>()?,
            scribe,
        })
    }

    /// The chain of this page, computed from an earlier one. `None`: too far apart.
    fn continued(&self, tick: u32, chain: u64) -> Option<u64> {
        if self.tick - tick > RING || self.links.len() != RING as usize {
            return None;
        }
        let steps = tick + 1..=self.tick;
        Some(steps.fold(chain, |chain, tick| after(chain, tick, self.links[(tick % RING) as usize])))
    }
}

/// A number that was never set is 0 to those who read.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Null => Some(0),
        Value::Uint(number) | Value::BigUint(number) => Some(*number),
        Value::Int(number) | Value::BigInt(number) => u64::try_from(*number).ok(),
        Value::Float(_) | Value::Bool(_) | Value::Str(_) | Value::Ref(_) => None,
    }
}

/// What one client has seen of its room.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    at: Option<(u32, u64)>,
    scribe: [u32; 3],
    mark: Option<u32>,
    /// Deeds it has sent; the next one's number is one more.
    pub(crate) sent: u32,
}

impl Witness {
    /// A frame with state was shown. `stepped`: its bytes tell of a step. What is wrong with it, if anything.
    pub(crate) fn sees(&mut self, page: &Page, full: bool, stepped: bool) -> Result<(), String> {
        let Page { tick, chain, .. } = *page;
        let before = self.at.replace((tick, chain));
        let before_scribe = self.scribe;
        let [done, last, again] = page.scribe.ok_or("the seat is gone")?;
        self.scribe = [done, last, again];
        if let Some((seen, seen_chain)) = before {
            if tick < seen {
                return Err(format!("step {tick} was shown after step {seen}"));
            }
            if tick == seen && stepped && !full {
                return Err(format!("step {tick} was shown twice"));
            }
            match page.continued(seen, seen_chain) {
                Some(expected) if expected == chain => {}
                Some(_) => {
                    return Err(format!("step {tick} does not follow from step {seen} as it was shown"));
                }
                None if full => {}
                None => return Err(format!("nothing was shown between step {seen} and step {tick}")),
            }
        }
        if again > 0 {
            return Err(format!("{again} deeds were done again"));
        }
        if done > self.sent || last > self.sent {
            return Err(format!("{done} deeds were done up to number {last}, {} were sent", self.sent));
        }
        if done < before_scribe[0] || last < before_scribe[1] {
            return Err(format!("of {} deeds that were shown {done} are left", before_scribe[0]));
        }
        Ok(())
    }

    /// A message was shown. What is wrong with it, if anything.
    pub(crate) fn marks(&mut self, mark: u32) -> Result<(), String> {
        match self.mark.replace(mark) {
            Some(before) if mark <= before => Err(format!("message {mark} was shown after message {before}")),
            Some(before) if mark > before + 1 => {
                Err(format!("{} messages after message {before} were not shown", mark - before - 1))
            }
            _ => Ok(()),
        }
    }

    /// The connection was lost: messages of that time are, too, as SDKs have it. State is not.
    pub(crate) fn drops(&mut self) {
        self.mark = None;
    }
}

/// What was shown of all rooms, by anyone.
#[derive(Debug, Default)]
pub(crate) struct History {
    rooms: BTreeMap<String, BTreeMap<u32, u64>>,
}

impl History {
    /// One step as somebody saw it. The error: others saw it differently.
    pub(crate) fn agree(&mut self, room: &str, tick: u32, chain: u64) -> Result<(), String> {
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.to_owned(), BTreeMap::new());
        }
        let steps = self.rooms.get_mut(room).expect("it was put there");
        match steps.insert(tick, chain) {
            Some(known) if known != chain => Err(format!("two truths about step {tick}")),
            _ => Ok(()),
        }
    }

    /// Rooms of which something was shown, with the last step shown.
    pub(crate) fn heights(&self) -> impl Iterator<Item = (&str, u32)> {
        let last = |steps: &BTreeMap<u32, u64>| steps.last_key_value().map_or(0, |(tick, _)| *tick);
        self.rooms.iter().map(move |(room, steps)| (room.as_str(), last(steps)))
    }

    /// A step as a journal has it. The error: somebody was shown something else.
    pub(crate) fn confirms(&self, room: &str, tick: u32, chain: u64) -> Result<(), String> {
        match self.rooms.get(room).and_then(|steps| steps.get(&tick)) {
            Some(seen) if *seen != chain => {
                Err(format!("the journal has another step {tick} than was shown"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room as it would be played, with one deed of client `a` before each step.
    fn played(steps: u32) -> Vec<Page> {
        let mut page = Page { tick: 0, chain: 7, links: vec![0; RING as usize], scribe: Some([0, 0, 0]) };
        let mut pages = vec![page.clone()];
        for tick in 1..=steps {
            page.links[(tick % RING) as usize] = u64::from(tick) * 3;
            page.chain = after(page.chain, tick, u64::from(tick) * 3);
            page.tick = tick;
            page.scribe = Some([tick, tick, 0]);
            pages.push(page.clone());
        }
        pages
    }

    fn watch<'a>(shown: impl IntoIterator<Item = (&'a Page, bool)>) -> Result<(), String> {
        let mut witness = Witness { sent: 1_000, ..Witness::default() };
        shown.into_iter().try_for_each(|(page, full)| witness.sees(page, full, true))
    }

    #[test]
    fn a_game_that_goes_on_is_believed() {
        let pages = played(200);
        watch(pages.iter().map(|page| (page, false))).unwrap();
        // Several steps in one patch; a full state at the same step, and one far ahead.
        watch([
            (&pages[0], true),
            (&pages[5], false),
            (&pages[60], false),
            (&pages[60], true),
            (&pages[200], true),
        ])
        .unwrap();
    }

    #[test]
    fn whatever_was_shown_is_not_taken_back() {
        let pages = played(200);
        let said = |shown: &[(&Page, bool)]| watch(shown.iter().copied()).unwrap_err();
        assert_eq!(said(&[(&pages[5], true), (&pages[4], true)]), "step 4 was shown after step 5");
        assert_eq!(said(&[(&pages[5], true), (&pages[5], false)]), "step 5 was shown twice");
        assert_eq!(
            said(&[(&pages[5], true), (&pages[100], false)]),
            "nothing was shown between step 5 and step 100"
        );
        // Step 5 was played again, differently, after it had been shown.
        let mut fork = pages[6].clone();
        fork.links[5] = 1;
        fork.chain = after(after(pages[4].chain, 5, 1), 6, fork.links[6]);
        let lie = "step 6 does not follow from step 5 as it was shown";
        assert_eq!(said(&[(&pages[5], true), (&fork, false)]), lie);
        assert_eq!(said(&[(&pages[5], true), (&fork, true)]), lie);
        let gone = Page { scribe: None, ..pages[6].clone() };
        assert_eq!(said(&[(&pages[5], true), (&gone, false)]), "the seat is gone");
        let undone = Page { scribe: Some([4, 4, 0]), ..pages[6].clone() };
        assert_eq!(said(&[(&pages[5], true), (&undone, false)]), "of 5 deeds that were shown 4 are left");
        let twice = Page { scribe: Some([6, 6, 1]), ..pages[6].clone() };
        assert_eq!(said(&[(&pages[5], true), (&twice, false)]), "1 deeds were done again");
        let unsent = Page { scribe: Some([1_001, 1_001, 0]), ..pages[6].clone() };
        assert!(said(&[(&pages[5], true), (&unsent, false)]).ends_with("1000 were sent"));
    }

    #[test]
    fn messages_come_once_and_in_order_on_a_socket_that_stays() {
        let mut witness = Witness::default();
        witness.marks(4).unwrap();
        witness.marks(5).unwrap();
        assert_eq!(witness.marks(8).unwrap_err(), "2 messages after message 5 were not shown");
        assert_eq!(witness.marks(8).unwrap_err(), "message 8 was shown after message 8");
        witness.drops();
        witness.marks(20).unwrap();
    }

    #[test]
    fn two_truths_are_found_whoever_tells_them() {
        let mut history = History::default();
        history.agree("r", 1, 10).unwrap();
        history.agree("r", 1, 10).unwrap();
        history.agree("other", 1, 11).unwrap();
        assert_eq!(history.agree("r", 1, 12).unwrap_err(), "two truths about step 1");
        history.confirms("other", 1, 11).unwrap();
        history.confirms("other", 2, 99).unwrap();
        assert!(history.confirms("other", 1, 12).unwrap_err().contains("another step 1"));
        assert_eq!(history.heights().collect::<Vec<_>>(), [("other", 1), ("r", 1)]);
    }
}
