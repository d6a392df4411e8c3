//! The greeting of two nodes, before the first frame of a connection.
//!
//! ```text
//! caller -> callee   Call     magic 4 | version u16 | caller 16 | whom it believes to call 16 | proof 32
//! callee -> caller   Answer   magic 4 | version u16 | verdict u8 | callee 16 | proof 32
//! caller -> callee   Go       1
//! ```
//!
//! Integers are little-endian. The callee takes the connection into use when `Go` arrives, so a caller that gave up
//! meanwhile leaves nothing behind.
//!
//! With a cluster's key a proof is a keyed BLAKE3 over a label, the role, the version, both incarnations, the verdict,
//! and 32 bytes that only the two ends of this TLS session can compute. So a proof is worth nothing in any
//! other session: not to someone in the middle, who has two sessions, and not when replayed. Without a key it is zeros.

use crate::key::ClusterKey;
use everplay_types::Incarnation;

/// The version this program speaks. Nodes of different versions refuse each other.
pub(crate) const VERSION: u16 = 1;
/// What the caller says once it is welcome.
pub(crate) const GO: u8 = 1;

const MAGIC: [u8; 4] = *b"EVLK";
const CALL: &[u8] = b"everplay link call\0\0";
const ANSWER: &[u8] = b"everplay link answer";

pub(crate) const CALL_LENGTH: usize = 4 + 2 + 16 + 16 + 32;
pub(crate) const ANSWER_LENGTH: usize = 4 + 2 + 1 + 16 + 32;

/// What both ends of one connection know, and nobody else: the key, and 32 bytes of this session alone.
pub(crate) struct Binding {
    /// `None` when certificates, or nothing, stand for who the other end is.
    pub(crate) key: Option<(ClusterKey, [u8; 32])>,
}

/// What the callee thinks of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Say go and begin.
    Welcome,
    /// I am someone else: whom you call is no longer here.
    NotMe,
    /// There is a connection between us, or one about to be.
    Busy,
    /// I was not asked to have a link with you.
    Stranger,
    /// You do not have my key. Not proven itself: this end cannot know which of the keys is right.
    WrongKey,
    /// I speak another version.
    Version,
}

impl Verdict {
    const ALL: [Self; 6] =
        [Self::Welcome, Self::NotMe, Self::Busy, Self::Stranger, Self::WrongKey, Self::Version];

    fn code(self) -> u8 {
        match self {
            Self::Welcome => 0,
            Self::NotMe => 1,
            Self::Busy => 2,
            Self::Stranger => 3,
            Self::WrongKey => 4,
            Self::Version => 5,
        }
    }
}

/// Why a greeting is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("it does not speak this protocol")]
    Magic,
    #[error("it speaks version {theirs} of the links, this node {VERSION}")]
    Version { theirs: u16 },
    #[error("it has another cluster key")]
    WrongKey,
    #[error("it answered with an unknown verdict {code}")]
    Verdict { code: u8 },
    #[error("it has this node's own incarnation")]
    Mirror,
}

/// The caller's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) caller: Incarnation,
    pub(crate) callee: Incarnation,
}

/// The callee's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) callee: Incarnation,
}

impl Binding {
    fn prove(&self, label: &[u8], caller: Incarnation, callee: Incarnation, verdict: u8) -> [u8; 32] {
        let Some((key, session)) = &self.key else { return [0; 32] };
        *key.prove(&[label, &VERSION.to_le_bytes(), &caller.0, &callee.0, &[verdict], session]).as_bytes()
    }

    fn proven(
        &self,
        label: &[u8],
        caller: Incarnation,
        callee: Incarnation,
        verdict: u8,
        proof: [u8; 32],
    ) -> bool {
        // The comparison of hashes takes constant time.
        blake3::Hash::from_bytes(self.prove(label, caller, callee, verdict))
            == blake3::Hash::from_bytes(proof)
    }
}

impl Call {
    pub(crate) fn encode(self, binding: &Binding) -> [u8; CALL_LENGTH] {
        let mut bytes = [0; CALL_LENGTH];
        let proof = binding.prove(CALL, self.caller, self.callee, 0);
        fill(&mut bytes, &[&MAGIC, &VERSION.to_le_bytes(), &self.caller.0, &self.callee.0, &proof]);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; CALL_LENGTH], binding: &Binding) -> Result<Self, HelloError> {
        let mut rest = open(bytes)?;
        let caller = Incarnation(cut(&mut rest));
        let callee = Incarnation(cut(&mut rest));
        if !binding.proven(CALL, caller, callee, 0, cut(&mut rest)) {
            return Err(HelloError::WrongKey);
        }
        Ok(Self { caller, callee })
    }
}

impl Answer {
    pub(crate) fn encode(self, caller: Incarnation, binding: &Binding) -> [u8; ANSWER_LENGTH] {
        let mut bytes = [0; ANSWER_LENGTH];
        let code = self.verdict.code();
        let proof = match self.verdict {
            Verdict::WrongKey | Verdict::Version => [0; 32],
            _ => binding.prove(ANSWER, caller, self.callee, code),
        };
        fill(&mut bytes, &[&MAGIC, &VERSION.to_le_bytes(), &[code], &self.callee.0, &proof]);
        bytes
    }

    pub(crate) fn decode(
        bytes: &[u8; ANSWER_LENGTH],
        caller: Incarnation,
        binding: &Binding,
    ) -> Result<Self, HelloError> {
        let mut rest = open(bytes)?;
        let [code] = cut(&mut rest);
        let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.code() == code);
        let verdict = verdict.ok_or(HelloError::Verdict { code })?;
        let callee = Incarnation(cut(&mut rest));
        match verdict {
            Verdict::WrongKey => return Err(HelloError::WrongKey),
            Verdict::Version => return Err(HelloError::Version { theirs: VERSION }),
            _ => {}
        }
        if !binding.proven(ANSWER, caller, callee, code, cut(&mut rest)) {
            return Err(HelloError::WrongKey);
        }
        if callee == caller {
            return Err(HelloError::Mirror);
        }
        Ok(Self { verdict, callee })
    }
}

/// What follows a beginning that is ours.
fn open(bytes: &[u8]) -> Result<&[u8], HelloError> {
    let mut rest = bytes;
    if cut(&mut rest) != MAGIC {
        return Err(HelloError::Magic);
    }
    match u16::from_le_bytes(cut(&mut rest)) {
        VERSION => Ok(rest),
        theirs => Err(HelloError::Version { theirs }),
    }
}

/// The next `N` bytes.
fn cut<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (taken, left) = rest.split_first_chunk::<N>().expect("the lengths of the parts make up the whole");
    *rest = left;
    *taken
}

/// Writes the parts one after another; they fill the whole.
fn fill(bytes: &mut [u8], parts: &[&[u8]]) {
    let mut rest = bytes;
    for part in parts {
        let (place, left) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = left;
    }
    debug_assert!(rest.is_empty(), "the parts make up the whole");
}

#[cfg(test)]
mod tests;
