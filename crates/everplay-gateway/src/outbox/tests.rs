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
            Poll::Ready(Next::Rest(_)) => seen.push('+'),
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
    let outbox = Outbox::new(100, None);
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
    let outbox = Outbox::new(100, None);
    outbox.deliver(frame(FrameKind::Message, b'a', 60));
    outbox.close(CloseCode::CONSENTED, "bye");
    outbox.close(CloseCode::WITH_ERROR, "too late");
    outbox.deliver(frame(FrameKind::Message, b'b', 1));
    assert!(outbox.is_closed());
    assert_eq!(left(&outbox), "a!4000");
}

#[test]
fn an_abandoned_outbox_keeps_nothing() {
    let outbox = Outbox::new(100, None);
    outbox.deliver(frame(FrameKind::Message, b'a', 60));
    outbox.abandon(CloseCode(1006));
    outbox.deliver(frame(FrameKind::State, b'b', 60));
    assert_eq!(left(&outbox), "!1006");
}

#[test]
fn a_resync_waits_until_the_kernel_has_the_rest() {
    let outbox = Outbox::new(10, None);
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
    let outbox = Outbox::new(100, None);
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

/// A socket whose other end is read by nobody yet, and an outbox that may write to it.
async fn direct(members: u32) -> (tokio::net::TcpStream, Arc<OwnedWriteHalf>, Outbox) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let (_, sending) = near.into_split();
    let sending = Arc::new(sending);
    let direct = Direct {
        sending: Arc::downgrade(&sending),
        members: Arc::new(AtomicU32::new(members)),
        metrics: Arc::new(Metrics::new()),
    };
    (far, sending, Outbox::new(100, Some(direct)))
}

/// Reads a whole message and answers its payload.
async fn message(far: &mut tokio::net::TcpStream) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let mut header = [0; 2];
    far.read_exact(&mut header).await.unwrap();
    let len = match header[1] {
        126 => usize::from(far.read_u16().await.unwrap()),
        127 => usize::try_from(far.read_u64().await.unwrap()).unwrap(),
        len => usize::from(len),
    };
    let mut payload = vec![0; len];
    far.read_exact(&mut payload).await.unwrap();
    payload
}

#[tokio::test]
async fn a_room_writes_itself_only_while_the_connection_has_nothing_to_write() {
    let (mut far, _sending, outbox) = direct(20).await;
    outbox.deliver(frame(FrameKind::Patch, b'a', 20));
    assert_eq!(left(&outbox), "a", "before the connection waits it is the one who writes");
    outbox.deliver(frame(FrameKind::Patch, b'b', 20));
    outbox.deliver(frame(FrameKind::State, b'c', 2_000));
    assert_eq!(left(&outbox), "");
    assert_eq!(message(&mut far).await, [b'b'; 20]);
    assert_eq!(message(&mut far).await, [b'c'; 2_000]);
    // Something of its own is not sent yet.
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll_next(false, &mut cx).is_pending());
    outbox.deliver(frame(FrameKind::Message, b'd', 20));
    assert_eq!(left(&outbox), "d");
    outbox.close(CloseCode::NORMAL, "");
    outbox.deliver(frame(FrameKind::Message, b'e', 20));
    assert_eq!(left(&outbox), "!1000");
}

#[tokio::test]
async fn in_a_large_room_the_connections_write() {
    let (_far, _sending, outbox) = direct(DIRECT_MEMBERS + 1).await;
    assert_eq!(left(&outbox), "");
    outbox.deliver(frame(FrameKind::Patch, b'a', 20));
    assert_eq!(left(&outbox), "a");
}

#[tokio::test]
async fn what_the_kernel_does_not_take_leaves_before_everything_else() {
    let (mut far, sending, outbox) = direct(20).await;
    assert_eq!(left(&outbox), "");
    let large = 64 << 20;
    outbox.deliver(frame(FrameKind::State, b'a', large));
    outbox.deliver(frame(FrameKind::Message, b'b', 20));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Next::Rest(mut rest)) = outbox.poll_next(true, &mut cx) else {
        panic!("the kernel took it")
    };
    assert_eq!(left(&outbox), "b");
    let writing = tokio::spawn(async move {
        while !rest.is_empty() {
            sending.writable().await.unwrap();
            match sending.try_write(&rest) {
                Ok(taken) => drop(rest.split_to(taken)),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    });
    assert!(message(&mut far).await == vec![b'a'; large], "the frame is whole");
    writing.await.unwrap();
}

#[tokio::test]
async fn a_socket_that_is_gone_is_not_written_to() {
    let (_far, sending, outbox) = direct(20).await;
    assert_eq!(left(&outbox), "");
    drop(sending);
    outbox.deliver(frame(FrameKind::Patch, b'a', 20));
    assert_eq!(left(&outbox), "a");
}
