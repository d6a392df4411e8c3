//! Frames survive any cut of the stream, and nothing but frames is taken.

use super::*;

fn written(mut outgoing: Outgoing, step: usize) -> Vec<u8> {
    outgoing.seal();
    let mut all = Vec::new();
    while !outgoing.is_empty() {
        let (slices, used) = outgoing.slices();
        let bytes: Vec<u8> =
            slices[..used].iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
        outgoing.advance(bytes.len());
        all.extend(bytes);
    }
    all
}

fn messages() -> Vec<Bytes> {
    [0, 1, 100, GATHERED, GATHERED + 1, 3, BLOCK, BLOCK + 7, 0, 9]
        .into_iter()
        .enumerate()
        .map(|(index, length)| Bytes::from(vec![u8::try_from(index).unwrap(); length]))
        .collect()
}

#[test]
fn frames_survive_any_cut() {
    for step in [1, 4, 5, 6, 1000, usize::MAX] {
        let mut outgoing = Outgoing::default();
        for message in messages() {
            outgoing.message(message);
            outgoing.heartbeat();
        }
        let bytes = written(outgoing, step);
        let incoming = Incoming { most: BLOCK + 7 };
        let mut buffer = BytesMut::new();
        let mut got = Vec::new();
        let mut beats = 0;
        for part in bytes.chunks(step.min(bytes.len())) {
            buffer.extend_from_slice(part);
            while let Some(frame) = incoming.take(&mut buffer).unwrap() {
                match frame {
                    Frame::Message(message) => got.push(message),
                    Frame::Heartbeat => beats += 1,
                }
            }
        }
        assert_eq!(got, messages(), "cut every {step}");
        assert_eq!(beats, got.len());
        assert!(buffer.is_empty());
    }
}

#[test]
fn more_messages_than_pieces_are_written_in_order() {
    let mut outgoing = Outgoing::default();
    for index in 0..200_u8 {
        outgoing.message(Bytes::from(vec![index; GATHERED + 1]));
    }
    let mut buffer = BytesMut::from(&written(outgoing, usize::MAX)[..]);
    let incoming = Incoming { most: 1 << 20 };
    for index in 0..200_u8 {
        assert_eq!(
            incoming.take(&mut buffer),
            Ok(Some(Frame::Message(Bytes::from(vec![index; GATHERED + 1]))))
        );
    }
    assert_eq!(incoming.take(&mut buffer), Ok(None));
}

#[test]
fn what_is_not_a_frame_is_refused() {
    let incoming = Incoming { most: 10 };
    let check = |bytes: &[u8]| incoming.take(&mut BytesMut::from(bytes));
    assert_eq!(check(&[1, 0, 0, 0, HEARTBEAT, 7]), Err(FrameError::Heartbeat { length: 1 }));
    assert_eq!(check(&[11, 0, 0, 0, MESSAGE]), Err(FrameError::TooLong { length: 11, most: 10 }));
    assert_eq!(check(&[255; 5]), Err(FrameError::Kind { kind: 255 }));
    assert_eq!(check(b"GET / HTTP/1.1"), Err(FrameError::Kind { kind: b'/' }));
    assert_eq!(check(&[10, 0, 0, 0, MESSAGE, 1, 2]), Ok(None));
    assert_eq!(check(&[10, 0, 0]), Ok(None));
}
