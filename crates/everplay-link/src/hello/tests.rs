//! A greeting is believed by the other end of the same session with the same key, and by nobody else.

use super::*;

const A: Incarnation = Incarnation([1; 16]);
const B: Incarnation = Incarnation([2; 16]);

fn binding(words: &str, session: u8) -> Binding {
    Binding { key: Some((ClusterKey::new(words).unwrap(), [session; 32])) }
}

const WORDS: &str = "correct horse battery staple, twice over";

#[test]
fn both_ends_of_a_session_believe_each_other() {
    for binding in [binding(WORDS, 1), Binding { key: None }] {
        let call = Call { caller: A, callee: B };
        assert_eq!(Call::decode(&call.encode(&binding), &binding), Ok(call));
        for verdict in [Verdict::Welcome, Verdict::NotMe, Verdict::Busy, Verdict::Stranger] {
            let answer = Answer { verdict, callee: B };
            assert_eq!(Answer::decode(&answer.encode(A, &binding), A, &binding), Ok(answer));
        }
    }
}

#[test]
fn another_key_or_session_is_not_believed() {
    let ours = binding(WORDS, 1);
    let call = Call { caller: A, callee: B }.encode(&ours);
    let answer = Answer { verdict: Verdict::Welcome, callee: B }.encode(A, &ours);
    for other in [binding("another horse battery staple, once more", 1), binding(WORDS, 2)] {
        assert_eq!(Call::decode(&call, &other), Err(HelloError::WrongKey));
        assert_eq!(Answer::decode(&answer, A, &other), Err(HelloError::WrongKey));
    }
}

#[test]
fn no_byte_of_a_greeting_can_be_changed() {
    let ours = binding(WORDS, 1);
    let call = Call { caller: A, callee: B }.encode(&ours);
    for place in 0..call.len() {
        let mut changed = call;
        changed[place] ^= 1;
        assert!(Call::decode(&changed, &ours).is_err(), "byte {place} of a call");
    }
    let answer = Answer { verdict: Verdict::Welcome, callee: B }.encode(A, &ours);
    for place in 0..answer.len() {
        let mut changed = answer;
        changed[place] ^= 1;
        assert!(Answer::decode(&changed, A, &ours).is_err(), "byte {place} of an answer");
    }
}

#[test]
fn a_call_is_not_an_answer() {
    let ours = binding(WORDS, 1);
    let as_call = ours.prove(CALL, A, B, 0);
    assert!(!ours.proven(ANSWER, A, B, 0, as_call));
}

#[test]
fn one_s_own_voice_is_not_a_peer() {
    let ours = binding(WORDS, 1);
    let answer = Answer { verdict: Verdict::Welcome, callee: A }.encode(A, &ours);
    assert_eq!(Answer::decode(&answer, A, &ours), Err(HelloError::Mirror));
}

#[test]
fn another_version_is_named() {
    let ours = Binding { key: None };
    let mut call = Call { caller: A, callee: B }.encode(&ours);
    call[4] = 9;
    assert_eq!(Call::decode(&call, &ours), Err(HelloError::Version { theirs: 9 }));
    let mut answer = Answer { verdict: Verdict::Version, callee: B }.encode(A, &ours);
    answer[4] = 9;
    assert_eq!(Answer::decode(&answer, A, &ours), Err(HelloError::Version { theirs: 9 }));
}
