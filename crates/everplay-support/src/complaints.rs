//! What the log has heard of already: what is looked at every few seconds and stays broken is said once.

use parking_lot::Mutex;
use std::collections::HashSet;

/// Different complaints that are remembered; with more of them the log hears of some again.
const MOST: usize = 1_000;

/// Complaints that were made since the process began.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<HashSet<String>>);

impl Complaints {
    /// Calls `say` unless this was said already.
    pub(crate) fn of(&self, what: &str, say: impl FnOnce()) {
        let mut said = self.0.lock();
        if said.contains(what) {
            return;
        }
        if said.len() >= MOST {
            said.clear();
        }
        said.insert(what.to_owned());
        drop(said);
        say();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_made_once_and_memory_is_bounded() {
        let (complaints, mut made) = (Complaints::default(), 0);
        for what in ["a", "b", "a"] {
            complaints.of(what, || made += 1);
        }
        assert_eq!(made, 2);
        for n in 0..2 * MOST {
            complaints.of(&n.to_string(), || made += 1);
        }
        assert!(complaints.0.lock().len() <= MOST);
    }
}
