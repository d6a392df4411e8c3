//! Who sees what: view ids, sets of views, tags, and the visibility kept beside an item.
//!
//! A *view* is what one session may see. A structure is reached by everyone, by a set of views, or by nobody
//! (server-only). Visibility is given explicitly to instances (`show`), and a tagged field is sent to the views
//! that were given the instance with a matching tag.
//!
//! Every set exists twice: `now` (what the room asked for) and `seen` (what went out with the last patch). A patch
//! sends changes to the views in both, contents to those only in `now`, and removals to those only in `seen`.

/// A view of one [`crate::Replica`]. Small numbers, reused after [`crate::Replica::remove_view`], journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub u32);

/// Bits of custom view tags. A field tagged with some bits is shown to views that were given one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub u32);

/// The bit kept beside the tags for [`crate::Replica::show_root_later`] and the like; no field has it.
const LATER: u32 = 1 << 31;

/// What a view that was shown an instance gets of what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Following {
    /// Nested structs and collections without a tag of their own follow the instance they are in.
    #[default]
    Nested,
    /// Nothing follows: every struct and every collection is shown by itself.
    Nothing,
}

/// The tag of a filtered field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTag {
    /// `#[state(view)]`: shown with the instance.
    Default,
    /// `#[state(view = N)]`: shown to views that were given one of these bits on the instance.
    Bits(u32),
}

/// A set of views. The first 256 need no memory of their own: sets are combined for every field that only some see.
#[derive(Debug, Default)]
pub struct ViewSet {
    low: [u64; LOW_WORDS],
    high: Vec<u64>,
}

/// Words of a set that are always there.
const LOW_WORDS: usize = 4;

impl Clone for ViewSet {
    fn clone(&self) -> Self {
        ViewSet { low: self.low, high: self.high.clone() }
    }

    /// Keeps the memory.
    fn clone_from(&mut self, other: &Self) {
        self.low = other.low;
        self.high.clone_from(&other.high);
    }
}

impl PartialEq for ViewSet {
    fn eq(&self, other: &Self) -> bool {
        let longest = self.words().max(other.words());
        self.low == other.low && (LOW_WORDS..longest).all(|word| self.word(word) == other.word(word))
    }
}

impl ViewSet {
    /// No view.
    pub(crate) const EMPTY: ViewSet = ViewSet { low: [0; LOW_WORDS], high: Vec::new() };

    fn words(&self) -> usize {
        LOW_WORDS + self.high.len()
    }

    fn word(&self, word: usize) -> u64 {
        match self.low.get(word) {
            Some(bits) => *bits,
            None => self.high.get(word - LOW_WORDS).copied().unwrap_or(0),
        }
    }

    fn word_mut(&mut self, word: usize) -> &mut u64 {
        if word < LOW_WORDS {
            return &mut self.low[word];
        }
        let word = word - LOW_WORDS;
        if self.high.len() <= word {
            self.high.resize(word + 1, 0);
        }
        &mut self.high[word]
    }

    /// Whether the view is in the set.
    pub fn contains(&self, view: ViewId) -> bool {
        self.word(view.0 as usize / 64) >> (view.0 % 64) & 1 == 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.low == [0; LOW_WORDS] && self.high.iter().all(|word| *word == 0)
    }

    pub(crate) fn insert(&mut self, view: ViewId) -> bool {
        let new = !self.contains(view);
        *self.word_mut(view.0 as usize / 64) |= 1 << (view.0 % 64);
        new
    }

    pub(crate) fn remove(&mut self, view: ViewId) -> bool {
        let had = self.contains(view);
        if had {
            *self.word_mut(view.0 as usize / 64) &= !(1 << (view.0 % 64));
        }
        had
    }

    fn combine(&self, other: &ViewSet, with: impl Fn(u64, u64) -> u64) -> ViewSet {
        let longest = self.words().max(other.words());
        ViewSet {
            low: std::array::from_fn(|word| with(self.low[word], other.low[word])),
            high: (LOW_WORDS..longest).map(|word| with(self.word(word), other.word(word))).collect(),
        }
    }

    pub(crate) fn union(&self, other: &ViewSet) -> ViewSet {
        self.combine(other, |a, b| a | b)
    }

    pub(crate) fn intersection(&self, other: &ViewSet) -> ViewSet {
        self.combine(other, |a, b| a & b)
    }

    pub(crate) fn difference(&self, other: &ViewSet) -> ViewSet {
        self.combine(other, |a, b| a & !b)
    }

    /// The views in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = ViewId> + '_ {
        let words = self.low.iter().chain(&self.high).copied();
        words.enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(ViewId(word as u32 * 64 + bit))
            })
        })
    }
}

/// Who has a structure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reach {
    /// Every client.
    All,
    /// These views.
    Views(ViewSet),
}

impl Reach {
    pub(crate) fn and(&self, set: &ViewSet) -> ViewSet {
        match self {
            Reach::All => set.clone(),
            Reach::Views(views) => views.intersection(set),
        }
    }

    /// As [`and`](Self::and), of a set that is not needed any more.
    pub(crate) fn narrow(&self, set: ViewSet) -> ViewSet {
        match self {
            Reach::All => set,
            Reach::Views(views) => views.intersection(&set),
        }
    }
}

/// What views were given on one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Members {
    /// Shown: untagged and default-tagged fields.
    pub(crate) base: ViewSet,
    /// Shown with custom tag bits; each entry is one bit. Few in practice.
    pub(crate) tags: Vec<(u32, ViewSet)>,
}

impl Members {
    pub(crate) const EMPTY: Members = Members { base: ViewSet::EMPTY, tags: Vec::new() };

    /// The views a field with this tag is shown to.
    pub(crate) fn audience(&self, tag: FieldTag) -> ViewSet {
        match tag {
            FieldTag::Default => self.base.clone(),
            FieldTag::Bits(bits) => {
                let bits = bits & !LATER;
                let mut set = ViewSet::default();
                for (bit, views) in &self.tags {
                    if bits & bit != 0 {
                        set = set.union(views);
                    }
                }
                set
            }
        }
    }

    /// Views that get changes and full states, but not what was there before.
    pub(crate) fn later(&self) -> ViewSet {
        let later = self.tags.iter().find(|(bit, _)| *bit == LATER);
        later.map_or(ViewSet::EMPTY, |(_, views)| views.clone())
    }

    /// Views that were shown the instance, now or later.
    pub(crate) fn all(&self) -> ViewSet {
        if self.tags.is_empty() { self.base.clone() } else { self.base.union(&self.later()) }
    }

    pub(crate) fn show_later(&mut self, view: ViewId, tag: Tag) {
        let shown = self.base.contains(view);
        self.show(view, Some(if shown { tag } else { Tag(tag.0 | LATER) }));
        if !shown {
            self.base.remove(view);
        }
    }

    pub(crate) fn union(&self, other: &Members) -> Members {
        let mut both = Members { base: self.base.union(&other.base), tags: self.tags.clone() };
        for (bit, views) in &other.tags {
            match both.tags.iter_mut().find(|(known, _)| known == bit) {
                Some((_, set)) => *set = set.union(views),
                None => both.tags.push((*bit, views.clone())),
            }
        }
        both
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.base.is_empty() && self.tags.iter().all(|(_, views)| views.is_empty())
    }

    pub(crate) fn show(&mut self, view: ViewId, tag: Option<Tag>) {
        self.base.insert(view);
        self.tags.iter_mut().filter(|(bit, _)| *bit == LATER).for_each(|(_, views)| {
            views.remove(view);
        });
        let bits = tag.map_or(0, |tag| tag.0);
        for bit in (0..32).map(|shift| 1u32 << shift).filter(|bit| bits & bit != 0) {
            match self.tags.iter_mut().find(|(known, _)| *known == bit) {
                Some((_, set)) => {
                    set.insert(view);
                }
                None => {
                    let mut set = ViewSet::default();
                    set.insert(view);
                    self.tags.push((bit, set));
                }
            }
        }
    }

    /// Takes back tag bits, or everything without a tag.
    pub(crate) fn hide(&mut self, view: ViewId, tag: Option<Tag>) {
        let bits = tag.map_or(u32::MAX, |tag| tag.0);
        if tag.is_none() {
            self.base.remove(view);
        }
        for (bit, set) in &mut self.tags {
            if bits & *bit != 0 {
                set.remove(view);
            }
        }
        self.tags.retain(|(_, set)| !set.is_empty());
    }
}

/// Visibility of one instance: what the room asked for, and what the last patch told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Visibility {
    pub(crate) now: Members,
    pub(crate) seen: Members,
}

impl Visibility {
    pub(crate) fn forget(&mut self, view: ViewId) {
        self.now.hide(view, None);
        self.seen.hide(view, None);
    }
}

/// A set with the value of the last patch beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Granted {
    pub(crate) now: ViewSet,
    pub(crate) seen: ViewSet,
}

impl Granted {
    pub(crate) fn forget(&mut self, view: ViewId) {
        self.now.remove(view);
        self.seen.remove(view);
    }
}

/// The audience of the structure being encoded, before and after this patch.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(crate) old: Reach,
    pub(crate) new: Reach,
    /// What views were given on the structure itself, before and after.
    pub(crate) members_old: Members,
    pub(crate) members_new: Members,
    /// Server-only: nothing of it is sent.
    pub(crate) private: bool,
    /// What is inside does not follow.
    pub(crate) alone: bool,
}

impl Scope {
    /// Everyone sees the structure, no view was given anything on it.
    pub(crate) const SHARED: Scope = Scope {
        old: Reach::All,
        new: Reach::All,
        members_old: Members::EMPTY,
        members_new: Members::EMPTY,
        private: false,
        alone: false,
    };

    /// Nobody sees the structure; it is only journaled.
    pub(crate) const PRIVATE: Scope = Scope {
        old: Reach::All,
        new: Reach::All,
        members_old: Members::EMPTY,
        members_new: Members::EMPTY,
        private: true,
        alone: false,
    };

    /// Whether items of a filtered collection are shown one by one because nothing follows.
    pub(crate) fn by_item(&self, spec: &crate::types::FieldSpec) -> bool {
        self.alone && matches!(self.new, Reach::Views(_)) && spec.has_struct_items()
    }

    /// Views that were shown a field later, before and after.
    pub(crate) fn later(&self, spec: &crate::types::FieldSpec) -> (ViewSet, ViewSet) {
        let of = |reach: &Reach, members: &Members| {
            let later = reach.and(&members.later());
            match spec.modifiers.view {
                Some(tag @ FieldTag::Bits(_)) if !later.is_empty() => {
                    later.intersection(&members.audience(tag))
                }
                _ => later,
            }
        };
        (of(&self.old, &self.members_old), of(&self.new, &self.members_new))
    }

    /// The scope of what is in a structure that does not follow: `old` and `new` have it.
    pub(crate) fn only(&self, old: &ViewSet, new: &ViewSet) -> Scope {
        let within = |reach: &Reach, set: &ViewSet| match reach {
            Reach::All => Reach::All,
            Reach::Views(views) => Reach::Views(views.intersection(set)),
        };
        Scope { old: within(&self.old, old), new: within(&self.new, new), ..self.clone() }
    }

    /// Whether everything is the same before and after, so that only what was touched needs a look.
    pub(crate) fn is_steady(&self) -> bool {
        self.old == self.new && self.members_old == self.members_new
    }

    /// The views that have the fields without a tag, if they are the same before and after and that is all there is to
    /// say of them: nothing is gained, lost or shown later. Most structures in most patches.
    pub(crate) fn plain_audience(&self) -> Option<&ViewSet> {
        let Reach::Views(views) = &self.new else { return None };
        let plain = !self.private && !self.alone && self.members_new.tags.is_empty() && self.is_steady();
        plain.then_some(views)
    }
}
