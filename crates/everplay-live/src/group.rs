//! The bytes that say which records a commit holds. Pure; reads any bytes without panicking.
//!
//! Written with each commit, read at start to find every room's records without reading them.

use crate::record::{Chain, Damage};
use everplay_types::Seq;

/// Version of these bytes.
const GROUP_VERSION: u16 = 1;

/// Bytes of one run: room, first sequence number, count, chain after.
const RUN_LEN: usize = 8 + 8 + 4 + 16;

/// One append in a commit: so many records of one room in consecutive rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The room's number in the file.
    pub room: i64,
    /// Position of the first record.
    pub first: Seq,
    /// How many records.
    pub count: u32,
    /// The chain after the run's last record.
    pub chain: Chain,
}

/// The bytes of `groups.body`: version, runs in row order, checksum.
pub fn encode_runs(runs: &[Run]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + runs.len() * RUN_LEN + 4);
    out.extend_from_slice(&GROUP_VERSION.to_le_bytes());
    for run in runs {
        out.extend_from_slice(&run.room.to_le_bytes());
        out.extend_from_slice(&run.first.0.to_le_bytes());
        out.extend_from_slice(&run.count.to_le_bytes());
        out.extend_from_slice(&run.chain.0);
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Reads what [`encode_runs`] wrote; any bytes are allowed.
pub fn decode_runs(bytes: &[u8]) -> Result<Vec<Run>, Damage> {
    let have = bytes.len() as u64;
    let truncated = Damage::Truncated { need: 6, have };
    let version = bytes.first_chunk::<2>().ok_or_else(|| truncated.clone())?;
    match u16::from_le_bytes(*version) {
        GROUP_VERSION => {}
        found => return Err(Damage::Version { found }),
    }
    let (unchecked, stored) = bytes.split_last_chunk::<4>().ok_or_else(|| truncated.clone())?;
    let (stored, computed) = (u32::from_le_bytes(*stored), crc32c::crc32c(unchecked));
    if stored != computed {
        return Err(Damage::Checksum { stored, computed });
    }
    let (runs, rest) = unchecked.get(2..).ok_or(truncated)?.as_chunks::<RUN_LEN>();
    if !rest.is_empty() {
        return Err(Damage::Trailing { extra: rest.len() as u64 });
    }
    let field =
        |run: &[u8], at: usize| u64::from_le_bytes(*run[at..].first_chunk().expect("a run has 36 bytes"));
    Ok(runs
        .iter()
        .map(|run| Run {
            room: i64::from_le_bytes(*run.first_chunk().expect("a run has 36 bytes")),
            first: Seq(field(run, 8)),
            count: u32::from_le_bytes(*run[16..].first_chunk().expect("a run has 36 bytes")),
            chain: Chain(*run[20..].first_chunk().expect("a run has 36 bytes")),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        let run = |room| Run { room, first: Seq(7), count: 3, chain: Chain([room as u8; 16]) };
        let runs = [run(1), run(-2), run(1)];
        let bytes = encode_runs(&runs);
        assert_eq!(decode_runs(&bytes).unwrap(), runs);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(decode_runs(&changed).is_err(), "byte {at}");
            assert!(decode_runs(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
