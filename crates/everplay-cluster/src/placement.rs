//! Which node gets a room: rendezvous hashing, weighted by headroom and, after a loss, by zone.
//!
//! Every node computes the same answer from the same members without asking anyone. Views of headroom differ by moments,
//! so two nodes may disagree about a room now and then: the arbiter grants it to one of them, and a room nobody thought
//! his own is offered again with the next rank.

use everplay_types::Incarnation;

/// Rooms that make no difference.
const STEP: u32 = 32;

/// By how much the zone of a lost node gets fewer of its rooms.
const NEAR: f64 = 4.0;

/// A node that can take rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: Incarnation,
    /// Rooms it runs.
    pub rooms: u32,
    /// It stands in the zone of the node that was lost: what struck that one may strike it next, so it takes a quarter of
    /// its share. When all candidates stand there it makes no difference.
    pub near: bool,
}

/// The node for `name`; None: there is no candidate.
pub fn successor(name: &str, candidates: &[Candidate]) -> Option<Incarnation> {
    ranked(name, candidates).into_iter().next()
}

/// The place of `node` in line for `name`, from 0. None: it is no candidate.
pub fn rank(name: &str, candidates: &[Candidate], node: Incarnation) -> Option<usize> {
    ranked(name, candidates).into_iter().position(|ranked| ranked == node)
}

fn ranked(name: &str, candidates: &[Candidate]) -> Vec<Incarnation> {
    let fullest = candidates.iter().map(|candidate| candidate.rooms).max().unwrap_or_default();
    let mut scored: Vec<(f64, Incarnation)> = candidates
        .iter()
        .map(|candidate| {
            // A node with half the rooms of the fullest draws twice as many of the next ones, and an even cluster stays
            // even. Counted in steps, so that two nodes whose counts are a moment apart still agree.
            let headroom = f64::from(fullest / STEP + 1) / f64::from(candidate.rooms / STEP + 1);
            let weight = if candidate.near { headroom / NEAR } else { headroom };
            // In (0, 1]; the logarithm makes the chance of the highest score proportional to the weight.
            let draw = (hash(name, candidate.node) >> 11) as f64 + 1.0;
            let uniform = draw / (1u64 << 53) as f64;
            (-uniform.ln() / weight, candidate.node)
        })
        .collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, node)| node).collect()
}

/// FNV-1a with a finishing mix: the same in every release, because old and new nodes decide side by side.
fn hash(name: &str, node: Incarnation) -> u64 {
    let bytes = name.bytes().chain(node.0);
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb), (31, 1)] {
        hash = (hash ^ (hash >> shift)).wrapping_mul(factor);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(rooms: &[u32]) -> Vec<Candidate> {
        let candidate = |(at, rooms): (usize, &u32)| {
            let node = Incarnation([at as u8; 16]);
            Candidate { node, rooms: *rooms, near: false }
        };
        rooms.iter().enumerate().map(candidate).collect()
    }

    fn shares(candidates: &[Candidate]) -> Vec<usize> {
        let mut shares = vec![0; candidates.len()];
        for room in 0..3000 {
            let Some(node) = successor(&format!("room-{room}"), candidates) else { continue };
            shares[usize::from(node.0[0])] += 1;
        }
        shares
    }

    #[test]
    fn equal_nodes_get_equal_shares() {
        for share in shares(&nodes(&[10, 10, 10])) {
            assert!((900..1100).contains(&share), "{share} of 3,000");
        }
    }

    #[test]
    fn a_node_with_more_headroom_gets_more() {
        let shares = shares(&nodes(&[968, 468]));
        assert!((1850..2150).contains(&shares[1]), "{shares:?}");
    }

    #[test]
    fn the_zone_of_a_lost_node_gets_less_and_never_nothing_for_it() {
        let mut all = nodes(&[10, 10, 10]);
        all[1].near = true;
        let spread = shares(&all);
        assert!((250..420).contains(&spread[1]), "{spread:?}: one part in nine");
        assert!(spread[0].abs_diff(spread[2]) < 200, "{spread:?}");
        all.iter_mut().for_each(|candidate| candidate.near = true);
        assert_eq!(shares(&all), shares(&nodes(&[10, 10, 10])));
    }

    #[test]
    fn only_the_rooms_of_the_lost_node_move() {
        let all = nodes(&[0, 0, 0, 0]);
        for room in 0..500 {
            let name = format!("room-{room}");
            let before = successor(&name, &all).unwrap();
            if before != all[2].node {
                let without: Vec<Candidate> =
                    all.iter().copied().filter(|node| node.node != all[2].node).collect();
                assert_eq!(successor(&name, &without), Some(before));
            }
        }
    }

    #[test]
    fn everyone_has_a_place_in_line() {
        let all = nodes(&[0, 5, 9]);
        let mut places: Vec<usize> = all.iter().map(|node| rank("x", &all, node.node).unwrap()).collect();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2]);
        assert_eq!(rank("x", &all, Incarnation([9; 16])), None);
        assert_eq!(successor("x", &[]), None);
    }
}
