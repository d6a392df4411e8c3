//! The room's random numbers: keyed, counted, journaled.
//!
//! Block `n` is the keyed BLAKE3 hash of `n`. The key is drawn once per room and the count of blocks used is
//! journaled with the step that used them, so that a restart continues and never draws a block twice, and a
//! client that sees numbers can not tell the next ones.

/// Random numbers of one room.
#[derive(Debug, Clone)]
pub struct RoomRng {
    key: [u8; 32],
    next_block: u64,
    block: [u8; 64],
    used: usize,
}

impl RoomRng {
    /// Continues at block `next_block` of the sequence that `key` names.
    pub fn new(key: [u8; 32], next_block: u64) -> Self {
        Self { key, next_block, block: [0; 64], used: 64 }
    }

    pub(crate) fn next_block(&self) -> u64 {
        self.next_block
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        if self.used + 8 > self.block.len() {
            blake3::Hasher::new_keyed(&self.key)
                .update(&self.next_block.to_le_bytes())
                .finalize_xof()
                .fill(&mut self.block);
            self.next_block += 1;
            self.used = 0;
        }
        let bytes = self.block[self.used..self.used + 8].try_into().expect("a slice of eight bytes");
        self.used += 8;
        u64::from_le_bytes(bytes)
    }

    /// A number in `0..bound`, each equally likely. Panics when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        // Rejection: the top remainder would favour small numbers.
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let value = self.next_u64();
            if value < zone {
                return value % bound;
            }
        }
    }

    /// A number in `0.0..1.0` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of the items; None when there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len() as u64) as usize) }
    }

    /// Puts the items in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// A text of `len` characters of the id alphabet, 6 random bits each.
    pub(crate) fn id(&mut self, len: usize) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        (0..len).map(|_| char::from(ALPHABET[(self.next_u64() & 63) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continued_sequence_never_repeats_a_block() {
        let mut first = RoomRng::new([7; 32], 0);
        let drawn: Vec<u64> = (0..20).map(|_| first.next_u64()).collect();
        let mut resumed = RoomRng::new([7; 32], first.next_block());
        for _ in 0..20 {
            assert!(!drawn.contains(&resumed.next_u64()));
        }
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let mut rng = RoomRng::new([1; 32], 0);
        let mut seen = [0u32; 6];
        for _ in 0..600 {
            seen[rng.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    }
}
