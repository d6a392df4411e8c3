//! An order of many, with places: who stands at place n, and at which place somebody stands.
//!
//! Sorted blocks of up to 512 entries. A place is the lengths of the blocks before, plus a search in one block: for a
//! million entries about 3,000 additions and 21 comparisons, a microsecond or two. A change moves at most one block.

use std::cmp::Reverse;

/// Entries of a block before it is cut in two.
const BLOCK: usize = 512;

/// Best first; equals by their tie. The pair of score and tie is unique.
type Key = (Reverse<u128>, u64);

/// Who stands where.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    blocks: Vec<Vec<(Key, u32)>>,
    len: usize,
}

impl Ranking {
    /// How many stand here.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The block that holds, or would hold, the key.
    fn block_of(&self, key: &Key) -> usize {
        self.blocks.partition_point(|block| block.last().is_some_and(|(last, _)| last < key))
    }

    /// Adds somebody; a higher score is better. `tie` orders those with equal scores and tells them apart.
    pub fn insert(&mut self, score: u128, tie: u64, who: u32) {
        let key = (Reverse(score), tie);
        if self.blocks.is_empty() {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let at = self.block_of(&key).min(self.blocks.len() - 1);
        let block = &mut self.blocks[at];
        let place = block.partition_point(|(other, _)| *other < key);
        block.insert(place, (key, who));
        self.len += 1;
        if block.len() >= BLOCK {
            let rest = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, rest);
        }
    }

    /// Takes somebody away; answers whether they stood here.
    pub fn remove(&mut self, score: u128, tie: u64) -> bool {
        let key = (Reverse(score), tie);
        let at = self.block_of(&key);
        let Some(block) = self.blocks.get_mut(at) else { return false };
        let Ok(place) = block.binary_search_by(|(other, _)| other.cmp(&key)) else { return false };
        block.remove(place);
        self.len -= 1;
        if block.is_empty() {
            self.blocks.remove(at);
        }
        true
    }

    /// How many stand before somebody.
    pub fn place(&self, score: u128, tie: u64) -> usize {
        let key = (Reverse(score), tie);
        let at = self.block_of(&key);
        let before: usize = self.blocks.iter().take(at).map(Vec::len).sum();
        before + self.blocks.get(at).map_or(0, |block| block.partition_point(|(other, _)| *other < key))
    }

    /// The rank of a score: one more than how many have a better one. Equals share it.
    pub fn rank(&self, score: u128) -> usize {
        self.place(score, 0) + 1
    }

    /// Up to `count` from place `from` on, best first: score and who.
    pub fn from(&self, from: usize, count: usize) -> impl Iterator<Item = (u128, u32)> {
        let mut skip = from;
        let mut first = 0;
        while let Some(block) = self.blocks.get(first)
            && skip >= block.len()
        {
            skip -= block.len();
            first += 1;
        }
        let rest = self.blocks.get(first..).unwrap_or_default();
        rest.iter().flatten().skip(skip).take(count).map(|((Reverse(score), _), who)| (*score, *who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Against a plain sorted list, with many equal scores and enough entries to cut blocks.
        #[test]
        fn it_is_a_sorted_list(changes in prop::collection::vec((0u8..4, 0u128..50, 0u64..300), 1..3000)) {
            let mut ranking = Ranking::default();
            let mut plain: Vec<(Reverse<u128>, u64)> = Vec::new();
            for (what, score, tie) in changes {
                let key = (Reverse(score), tie);
                match plain.binary_search(&key) {
                    Ok(at) if what == 0 => {
                        plain.remove(at);
                        prop_assert!(ranking.remove(score, tie));
                    }
                    Ok(_) => {}
                    Err(_) if what == 0 => prop_assert!(!ranking.remove(score, tie)),
                    Err(at) => {
                        plain.insert(at, key);
                        ranking.insert(score, tie, tie as u32);
                    }
                }
            }
            prop_assert_eq!(ranking.len(), plain.len());
            for from in [0, 1, plain.len() / 2, plain.len()] {
                let found: Vec<_> = ranking.from(from, 40).map(|(score, who)| (Reverse(score), u64::from(who))).collect();
                let end = (from + 40).min(plain.len());
                prop_assert_eq!(&found[..], &plain[from.min(end)..end]);
            }
            for (at, (Reverse(score), tie)) in plain.iter().enumerate() {
                prop_assert_eq!(ranking.place(*score, *tie), at);
                let better = plain.iter().filter(|(Reverse(other), _)| other > score).count();
                prop_assert_eq!(ranking.rank(*score), better + 1);
            }
        }
    }
}
