//! What leaves an outbox, and in which order, when its client is quick, slow or gone.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Wake;

fn frame(kind: FrameKind, byte: u8, len: usize) -> Frame {
    Frame { bytes: Bytes::from(vec![byte; len]), kind }
}

#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// All that leaves now: frames by their first byte, `~` for a resync, `!code` for the end.
fn left(outbox: &Outbox) -> String {
    let waker = Waker::noop();
    let mut cx = Context::from_waker(waker);
    let mut seen = String::new();
    loop {
        match outbox.poll_next(true, &mut cx) {
            Poll::Ready(Next::Frame(bytes)) => seen.push(char::from(bytes[0])),
            Poll::Ready(Next::Resync) => seen.push('~'),
            Poll::Ready(Next::End(end)) => return format!("{seen}!{}", end.code.0),
            Poll::Pending => return seen,
        }
    }
}

/// Delivers `script` into a budget of 100 bytes, frames of 60: `p`atch, `s`tate, `m`essage, `c`ontrol; upper case is
/// what a reader takes out: `R`ead all.
#[track_caller]
fn check(script: &str, expected: &str) {
    let outbox = Outbox::new(100);
    let mut seen = String::new();
    for (index, step) in script.chars().enumerate() {
        let kind = match step {
            'p' => FrameKind::Patch,
            's' => FrameKind::State,
            'm' => FrameKind::Message,
            'c' => FrameKind::Control,
            _ => {
                seen += &left(&outbox);
                seen.push(' ');
                continue;
            }
        };
        let name = b'0' + u8::try_from(index).unwrap();
        outbox.deliver(frame(kind, name, 60));
    }
    seen += &left(&outbox);
    assert_eq!(seen, expected, "{script}");
}

#[test]
fn what_fits_leaves_in_order() {
    check("cspRmp", "012 45");
    check("pp", "01");
}

#[test]
fn patches_over_the_budget_give_way_to_one_state() {
    // Two fit (one may exceed); the third patch takes the queued ones with it.
    check("ppp", "~");
    // Later patches do not count until the state came; the room is asked once.
    check("pppRppRpsp", "~  89");
    // A message between stays, and stays in order.
    check("mpp", "0~");
}

#[test]
fn a_message_makes_patches_give_way_but_is_never_dropped() {
    check("ppm", "2~");
    check("ppmc", "23~");
}

#[test]
fn messages_over_the_budget_end_the_connection() {
    check("mmm", "!4100");
    check("ppmmm", "!4100");
    // Nothing is said after the end.
    check("mmmRm", "!4100 !4100");
}

#[test]
fn states_are_not_counted_and_replace_each_other() {
    check("smsps", "14");
    check("sssss", "4");
    check("smm", "012");
    // A state after patches were dropped makes the asking unnecessary.
    check("ppps", "3");
}

#[test]
fn the_end_comes_after_what_was_said() {
    let outbox = Outbox::new(100);
    outbox.deliver(frame(FrameKind::Message, b'a', 60));
    outbox.close(CloseCode::CONSENTED, "bye");
    outbox.close(CloseCode::WITH_ERROR, "too late");
    outbox.deliver(frame(FrameKind::Message, b'b', 1));
    assert!(outbox.is_closed());
    assert_eq!(left(&outbox), "a!4000");
}

#[test]
fn an_abandoned_outbox_keeps_nothing() {
    let outbox = Outbox::new(100);
    outbox.deliver(frame(FrameKind::Message, b'a', 60));
    outbox.abandon(CloseCode(1006));
    outbox.deliver(frame(FrameKind::State, b'b', 60));
    assert_eq!(left(&outbox), "!1006");
}

#[test]
fn a_resync_waits_until_the_kernel_has_the_rest() {
    let outbox = Outbox::new(10);
    let mut cx = Context::from_waker(Waker::noop());
    (0..3).for_each(|_| outbox.deliver(frame(FrameKind::Patch, b'p', 60)));
    assert!(outbox.poll_next(false, &mut cx).is_pending());
    assert!(matches!(outbox.poll_next(true, &mut cx), Poll::Ready(Next::Resync)));
    assert!(outbox.poll_next(true, &mut cx).is_pending());
    assert_eq!(outbox.take_shed(), 3);
}

#[test]
fn a_blocked_connection_is_woken_only_for_what_it_can_act_on() {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let outbox = Outbox::new(100);
    let count = || wakes.0.load(Ordering::Relaxed);

    assert!(outbox.poll_next(true, &mut cx).is_pending());
    outbox.deliver(frame(FrameKind::Patch, b'p', 60));
    outbox.deliver(frame(FrameKind::Patch, b'p', 60));
    assert_eq!(count(), 1, "one wake-up for all that is queued");

    assert!(!outbox.blocked(&mut cx));
    outbox.deliver(frame(FrameKind::State, b's', 60));
    assert_eq!(count(), 1);
    outbox.deliver(frame(FrameKind::Patch, b'p', 60));
    assert_eq!(count(), 2, "the time to drain starts");
    assert!(outbox.blocked(&mut cx));
    outbox.close(CloseCode::NORMAL, "");
    assert_eq!(count(), 3);
}
