//! Entries with stable indexes: what `Map`, `Set`, `Collection` and `Stream` are made of.
//!
//! Entries lie in a vector in order of their index, which is the order of insertion. Removed ones stay as holes
//! until the next patch told clients, and the vector is packed when half of it is holes.
//!
//! An entry is *known* when clients were told its index. What the next patch has to look at is in `touched`, in the
//! order of change; `iter_mut` sets `all_touched` instead.

use crate::decode::Value;
use crate::full::{Full, FullForm, FullScope};
use crate::meta;
use crate::number::{put_str, put_uint};
use crate::output::{NO_REF, Target, op};
use crate::patch::item_scope;
use crate::restore::{Load, Meta, RestoreError};
use crate::structure::{Change, Item, Patch};
use crate::track::{CollectionSlot, Track};
use crate::types::{CollectionKind, FieldSpec, Kind, TypeTable};
use crate::view::{Granted, Reach, Scope, Tag, ViewId, ViewSet, Visibility};
use std::sync::Arc;

/// What identifies an entry beside its index.
pub(crate) trait Key: Clone + Send + 'static {
    fn put(&self, out: &mut Vec<u8>);
}

impl Key for Arc<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_str(out, self);
    }
}

impl Key for () {
    fn put(&self, _out: &mut Vec<u8>) {}
}

pub(crate) struct Entry<K, T: Item> {
    pub(crate) index: u32,
    pub(crate) key: K,
    /// `None`: removed, and clients have to be told if they know it.
    pub(crate) value: Option<T>,
    slot: T::Slot,
    known: bool,
    /// Another instance was put in its place.
    replaced: bool,
    touched: bool,
    visibility: Option<Box<Visibility>>,
    /// Views waiting for a stream's item.
    queued: ViewSet,
}

impl<K, T: Item> Entry<K, T> {
    /// Starts anew for another value; remembers which views have to be told of the old one.
    fn renew(&mut self) {
        let told = T::told(&self.slot).cloned();
        self.slot = T::Slot::default();
        if told.is_some() || self.visibility.is_some() {
            let visibility = self.visibility.get_or_insert_default();
            visibility.now = Default::default();
            if let Some(told) = told {
                visibility.seen.base = visibility.seen.base.union(&told);
            }
        }
    }
}

/// Items of a stream sent per tick and view.
pub(crate) const MAX_PER_TICK: u32 = 32;

pub(crate) struct Slab<K, T: Item> {
    pub(crate) entries: Vec<Entry<K, T>>,
    /// Holes in `entries`.
    holes: usize,
    touched: Vec<u32>,
    all_touched: bool,
    cleared: bool,
    pub(crate) next_index: u32,
    /// CLEAR restarts the indexes (maps).
    restarts: bool,
    /// Streams: items below this index were sent to everyone.
    sent_until: u32,
    /// The counters as the journal has them.
    told: (u32, u32),
    pub(crate) max_per_tick: u32,
    pub(crate) track: Track,
}

impl<K: Key, T: Item> Slab<K, T> {
    pub(crate) fn new(restarts: bool) -> Self {
        Slab {
            entries: Vec::new(),
            holes: 0,
            touched: Vec::new(),
            all_touched: false,
            cleared: false,
            next_index: 0,
            restarts,
            sent_until: 0,
            told: (0, 0),
            max_per_tick: MAX_PER_TICK,
            track: Track::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.holes
    }

    /// Where the entry with this index is.
    fn find(&self, index: u32) -> Option<usize> {
        // Without holes packed away the index is the position.
        if self.entries.get(index as usize).is_some_and(|entry| entry.index == index) {
            return Some(index as usize);
        }
        self.entries.binary_search_by_key(&index, |entry| entry.index).ok()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.entries[self.find(index)?].value.as_ref()
    }

    fn touch(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        if !entry.touched {
            entry.touched = true;
            self.touched.push(entry.index);
        }
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let at = self.find(index)?;
        self.entries[at].value.as_ref()?;
        self.touch(at);
        self.entries[at].value.as_mut()
    }

    pub(crate) fn push(&mut self, key: K, value: T) -> u32 {
        let index = self.next_index;
        self.next_index = index.checked_add(1).expect("a collection has fewer than 2^32 items in its life");
        self.entries.push(Entry {
            index,
            key,
            value: Some(value),
            slot: T::Slot::default(),
            known: false,
            replaced: false,
            touched: true,
            visibility: None,
            queued: ViewSet::EMPTY,
        });
        self.touched.push(index);
        index
    }

    /// Puts another value into an entry; gives back the old one.
    pub(crate) fn replace(&mut self, index: u32, value: T) -> Option<T> {
        let at = self.find(index)?;
        self.touch(at);
        let entry = &mut self.entries[at];
        let instance = entry.value.as_ref().is_none_or(|old| old.ref_id(&entry.slot) != NO_REF);
        let old = entry.value.replace(value);
        if old.is_none() {
            self.holes -= 1;
        }
        // A primitive is compared with its slot; a structure in its place is a new instance.
        entry.replaced |= entry.known && instance;
        if instance {
            entry.renew();
        }
        old
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let at = self.find(index)?;
        let value = self.entries[at].value.take()?;
        self.holes += 1;
        if self.entries[at].known {
            self.touch(at);
        } else {
            self.pack();
        }
        Some(value)
    }

    /// The index of an entry removed since the last patch, for a key that comes back.
    pub(crate) fn removed(&self, is: impl Fn(&K) -> bool) -> Option<u32> {
        if self.holes == 0 || self.cleared || self.track.ref_id == NO_REF {
            return None;
        }
        let gone = |index: &&u32| {
            self.find(**index).is_some_and(|at| {
                let entry = &self.entries[at];
                entry.value.is_none() && entry.known && is(&entry.key)
            })
        };
        self.touched.iter().find(gone).copied()
    }

    pub(crate) fn clear(&mut self) {
        let known = self.entries.iter().any(|entry| entry.known);
        self.entries.clear();
        self.holes = 0;
        self.touched.clear();
        self.all_touched = false;
        self.cleared |= known;
        if self.restarts && self.cleared {
            self.next_index = 0;
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Entry<K, T>, &T)> {
        self.entries.iter().filter_map(|entry| entry.value.as_ref().map(|value| (entry, value)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, u32, &mut T)> {
        self.all_touched = true;
        self.entries
            .iter_mut()
            .filter_map(|entry| entry.value.as_mut().map(|value| (&entry.key, entry.index, value)))
    }

    /// Forgets what clients know: the collection is new to them.
    fn reset(&mut self) {
        self.entries.retain(|entry| entry.value.is_some());
        self.holes = 0;
        self.touched.clear();
        self.all_touched = false;
        self.cleared = false;
        self.sent_until = 0;
        for (index, entry) in (0..).zip(&mut self.entries) {
            entry.slot = T::Slot::default();
            (entry.known, entry.replaced, entry.touched) = (false, false, true);
            if self.restarts {
                entry.index = index;
            }
            self.touched.push(entry.index);
        }
        if self.restarts {
            self.next_index = self.entries.len() as u32;
        }
    }

    pub(crate) fn show(&mut self, index: u32, view: ViewId, tag: Option<Tag>) -> bool {
        let Some(at) = self.find(index).filter(|at| self.entries[*at].value.is_some()) else {
            return false;
        };
        self.touch(at);
        let entry = &mut self.entries[at];
        entry.visibility.get_or_insert_default().now.show(view, tag);
        self.track.visibility().granted.now.insert(view);
        true
    }

    pub(crate) fn show_later(&mut self, index: u32, view: ViewId, tag: Tag) -> bool {
        let Some(at) = self.find(index).filter(|at| self.entries[*at].value.is_some()) else {
            return false;
        };
        self.touch(at);
        self.entries[at].visibility.get_or_insert_default().now.show_later(view, tag);
        self.track.visibility().granted.now.insert(view);
        true
    }

    /// A stream's item for a view: it waits its turn.
    pub(crate) fn queue(&mut self, index: u32, view: ViewId) -> bool {
        let Some(at) = self.find(index).filter(|at| self.entries[*at].value.is_some()) else {
            return false;
        };
        self.touch(at);
        let entry = &mut self.entries[at];
        if !entry.visibility.as_ref().is_some_and(|given| given.now.base.contains(view)) {
            entry.queued.insert(view);
        }
        true
    }

    pub(crate) fn hide(&mut self, index: u32, view: ViewId, tag: Option<Tag>) -> bool {
        let Some(at) = self.find(index) else { return false };
        self.touch(at);
        let entry = &mut self.entries[at];
        entry.queued.remove(view);
        if tag.is_none() {
            T::cover(&mut entry.slot, view);
        }
        if let Some(visibility) = &mut entry.visibility {
            visibility.now.hide(view, tag);
        }
        true
    }

    /// Takes a subscription back. A stream's items went to the view one by one and are taken back one by one.
    pub(crate) fn unsubscribe(&mut self, view: ViewId, stream: bool) {
        self.track.unsubscribe(view);
        if stream {
            for at in 0..self.entries.len() {
                self.hide(self.entries[at].index, view, None);
            }
        }
    }

    // ---- walkers

    pub(crate) fn poll(&mut self, slot: &mut CollectionSlot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
        if self.track.is_foreign(slot, cx) {
            self.introduce(spec, cx);
        }
        slot.announce(self.track.ref_id)
    }

    pub(crate) fn introduce(&mut self, spec: &FieldSpec, cx: &mut Patch<'_>) {
        self.reset();
        self.track.introduce(cx);
        if matches!(spec.kind, Kind::Collection(_, crate::types::ItemKind::Prim(_))) {
            return;
        }
        for entry in &mut self.entries {
            if let Some(value) = &mut entry.value {
                value.introduce(&mut entry.slot, spec, cx);
            }
        }
    }

    pub(crate) fn descend(&mut self, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
        let scope = &*self.track.scope(scope);
        let streaming = is_stream(spec);
        let idle = self.touched.is_empty() && !self.all_touched && !self.cleared && !self.track.fresh;
        let steady = scope.is_steady() && self.track.is_settled();
        let counted = self.told == (self.next_index, self.sent_until);
        if idle && steady && counted && !(streaming && self.sent_until < self.next_index) {
            return;
        }
        if std::mem::take(&mut self.cleared) {
            self.clear_op(scope, cx);
        }
        let send_until = self.stream_budget(spec, scope, cx);
        let touched = std::mem::take(&mut self.touched);
        let whole = self.all_touched || !steady || self.track.fresh;
        for &index in &touched {
            if let Some(at) = self.find(index) {
                self.entry_ops(at, spec, scope, send_until, cx);
            }
        }
        if whole {
            for at in 0..self.entries.len() {
                if !self.entries[at].touched {
                    self.entry_ops(at, spec, scope, send_until, cx);
                }
            }
        }
        let mut again = Vec::new();
        if matches!(spec.kind, Kind::Collection(_, crate::types::ItemKind::Struct(_))) {
            for &index in &touched {
                if let Some(at) = self.find(index) {
                    self.entry_below(at, spec, scope, &mut again, cx);
                }
            }
            if whole {
                for at in 0..self.entries.len() {
                    if !self.entries[at].touched {
                        self.entry_below(at, spec, scope, &mut again, cx);
                    }
                }
            }
        }
        if streaming {
            self.send_stream(spec, scope, send_until, cx);
        }
        for &index in &touched {
            if let Some(at) = self.find(index) {
                self.entries[at].touched = false;
            }
        }
        self.touched = touched;
        self.touched.clear();
        self.all_touched = false;
        self.pack();
        for index in again {
            if let Some(at) = self.find(index) {
                self.touch(at);
            }
        }
        self.track.settle(cx);
        if self.track.fresh || self.told != (self.next_index, self.sent_until) {
            self.told = (self.next_index, self.sent_until);
            meta::counter(&mut cx.out.meta, self.track.ref_id, self.next_index, self.sent_until);
        }
        self.track.fresh = false;
    }

    fn clear_op(&mut self, scope: &Scope, cx: &mut Patch<'_>) {
        let kept;
        let target = match (&scope.old, &scope.new) {
            _ if scope.private => Target::Private,
            (Reach::Views(old), Reach::Views(new)) => {
                kept = old.intersection(new);
                Target::Views { audience: &kept, journal: true }
            }
            _ => Target::Shared,
        };
        cx.out.op(target, self.track.ref_id).push(op::CLEAR);
    }

    /// Streams: moves views' and everyone's turn on; returns up to where items go to everyone.
    fn stream_budget(&mut self, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) -> u32 {
        if !is_stream(spec) {
            return u32::MAX;
        }
        if scope.private {
            return self.next_index;
        }
        if cx.views || spec.per_item() || scope.new != Reach::All {
            return self.sent_until;
        }
        let mut budget = self.max_per_tick;
        let mut until = self.sent_until;
        for entry in self.entries.iter().filter(|entry| entry.index >= self.sent_until) {
            if entry.value.is_some() {
                if budget == 0 {
                    break;
                }
                budget -= 1;
            }
            until = entry.index + 1;
        }
        if self.entries.last().is_none_or(|last| last.index < until) {
            until = self.next_index;
        }
        cx.again |= until < self.next_index;
        until
    }

    /// The audience of an entry before and after; `None` for the collection's own.
    fn entry_scope(&self, at: usize, spec: &FieldSpec, scope: &Scope) -> Option<Scope> {
        let entry = &self.entries[at];
        let per_item = (spec.per_item() || is_stream(spec) || scope.by_item(spec))
            && entry.index >= self.broadcast_until(spec);
        if !per_item && !spec.views_below && !scope.alone {
            return None;
        }
        let inside = entry.value.as_ref().and_then(|value| value.inside(&entry.slot));
        // A stream's subscribers get its items by their turn, as if shown one by one.
        let subscribed = self.track.subscribed().filter(|_| !is_stream(spec));
        Some(item_scope(per_item, scope, entry.visibility.as_deref(), [subscribed, inside]))
    }

    /// Whether the entry has the same audience before and after.
    fn entry_is_steady(&self, at: usize, scope: &Scope) -> bool {
        let entry = &self.entries[at];
        let same = |granted: Option<&Granted>| granted.is_none_or(|granted| granted.now == granted.seen);
        scope.is_steady()
            && entry.visibility.as_ref().is_none_or(|given| given.now == given.seen)
            && same(self.track.subscribed())
            && same(entry.value.as_ref().and_then(|value| value.inside(&entry.slot)))
    }

    /// Who has the entry, when it is shown by itself and to the same views before and after: most entries in most patches
    /// of a world seen through views. What [`entry_scope`](Self::entry_scope) makes of it then has the same sets twice.
    fn plain_audience(&self, at: usize, spec: &FieldSpec, scope: &Scope) -> Option<ViewSet> {
        let shown_by_itself = spec.per_item() && !is_stream(spec) && !spec.views_below;
        if !shown_by_itself || scope.private || scope.alone || self.track.subscribed().is_some() {
            return None;
        }
        if !self.entry_is_steady(at, scope) {
            return None;
        }
        match &self.entries[at].visibility {
            None => Some(ViewSet::EMPTY),
            Some(given) if given.now.tags.is_empty() => Some(scope.new.and(&given.now.base)),
            Some(_) => None,
        }
    }

    /// Entries below this index follow the collection.
    fn broadcast_until(&self, spec: &FieldSpec) -> u32 {
        if is_stream(spec) { self.sent_until } else { 0 }
    }

    fn entry_ops(
        &mut self,
        at: usize,
        spec: &FieldSpec,
        scope: &Scope,
        _send_until: u32,
        cx: &mut Patch<'_>,
    ) {
        let owner = self.track.ref_id;
        let steady = self.entry_is_steady(at, scope);
        let entry = &mut self.entries[at];
        let mut polled = None;
        if let Some(value) = &mut entry.value
            && entry.known
            && !entry.replaced
        {
            let change = value.poll(&mut entry.slot, spec, cx);
            if steady && change == Change::None {
                return;
            }
            polled = Some(change);
        }
        let item_scope = self.entry_scope(at, spec, scope);
        let audience = item_scope.as_ref().unwrap_or(scope);
        let entry = &mut self.entries[at];
        let Some(value) = &mut entry.value else {
            if std::mem::take(&mut entry.known) {
                let target = match &audience.old {
                    _ if scope.private => Target::Private,
                    Reach::All => Target::Shared,
                    Reach::Views(old) => Target::Views { audience: old, journal: true },
                };
                let out = cx.out.op(target, owner);
                out.push(op::DELETE);
                put_uint(out, entry.index);
            }
            return;
        };
        let was_known = std::mem::replace(&mut entry.known, true);
        if std::mem::take(&mut entry.replaced) && was_known {
            let _ = value.poll(&mut entry.slot, spec, cx);
            put_entry(op::DELETE_AND_ADD, entry, owner, spec, scope, audience, true, cx);
            put_lost(entry, owner, scope, audience, cx);
            return;
        }
        let change = match polled {
            Some(change) => change,
            None => value.poll(&mut entry.slot, spec, cx),
        };
        let code = match change {
            _ if !was_known => Some(op::ADD),
            Change::None => None,
            Change::Replace => Some(op::DELETE_AND_ADD),
            Change::Set | Change::Unset => Some(op::REPLACE),
        };
        let fresh = !was_known || change == Change::Replace;
        if let Some(code) = code {
            put_entry(code, entry, owner, spec, scope, audience, fresh, cx);
        }
        if fresh {
            return;
        }
        let (Reach::Views(old), Reach::Views(new)) = (&audience.old, &audience.new) else { return };
        let entry = &self.entries[at];
        let gained = new.difference(old);
        if !gained.is_empty() {
            let to = Target::Views { audience: &gained, journal: false };
            put_op(op::ADD, entry, spec, to, false, owner, cx);
        }
        put_lost(entry, owner, scope, audience, cx);
    }

    fn entry_below(
        &mut self,
        at: usize,
        spec: &FieldSpec,
        scope: &Scope,
        again: &mut Vec<u32>,
        cx: &mut Patch<'_>,
    ) {
        if let Some(audience) = self.plain_audience(at, spec, scope) {
            let entry = &mut self.entries[at];
            let Some(value) = &mut entry.value else { return };
            if value.descend_plain(&mut entry.slot, scope, &audience, cx) {
                return;
            }
        }
        let item_scope = self.entry_scope(at, spec, scope);
        let entry = &mut self.entries[at];
        let Some(value) = &mut entry.value else { return };
        let fresh = value.is_fresh(&entry.slot);
        let outer = std::mem::take(&mut cx.again);
        value.descend(&mut entry.slot, spec, item_scope.as_ref().unwrap_or(scope), cx);
        if cx.again {
            again.push(entry.index);
        }
        cx.again |= outer;
        if let Some(given) = &mut entry.visibility
            && (fresh || given.now != given.seen)
        {
            if !(fresh && given.now.is_empty()) {
                meta::members(&mut cx.out.meta, value.ref_id(&entry.slot), &given.now);
            }
            given.seen = given.now.clone();
        }
    }

    /// Streams without views: sends the next items to everyone, with their contents.
    fn send_stream(&mut self, spec: &FieldSpec, scope: &Scope, until: u32, cx: &mut Patch<'_>) {
        let from = std::mem::replace(&mut self.sent_until, until);
        if scope.private {
            return;
        }
        for entry in self.entries.iter().filter(|entry| (from..until).contains(&entry.index)) {
            let Some(value) = &entry.value else { continue };
            let start = cx.out.shared.len();
            put_op(op::ADD, entry, spec, Target::Shared, false, self.track.ref_id, cx);
            let mut section = Full::section(cx.types, &mut cx.out.shared);
            value.full(&entry.slot, spec, FullScope::ROOT, &mut section);
            cx.out.leave_shared(start);
        }
    }

    fn pack(&mut self) {
        // Trailing holes go at once, others when they are half of the entries.
        while self.entries.last().is_some_and(|last| last.value.is_none() && !last.known) {
            self.entries.pop();
            self.holes -= 1;
        }
        if self.holes * 2 > self.entries.len() && self.holes > 8 {
            let before = self.entries.len();
            self.entries.retain(|entry| entry.value.is_some() || entry.known);
            self.holes -= before - self.entries.len();
        }
    }

    pub(crate) fn settle(&mut self, spec: &FieldSpec, types: &TypeTable) -> ViewSet {
        let per_item = spec.per_item() || is_stream(spec);
        if is_stream(spec) {
            self.take_turns();
        }
        let mut found = self.track.newly_granted();
        if spec.views_below {
            for position in 0..self.touched.len() {
                let Some(at) = self.find(self.touched[position]) else { continue };
                let entry = &mut self.entries[at];
                let Some(value) = &mut entry.value else { continue };
                let views = value.settle(&mut entry.slot, spec, types);
                found = found.union(&views);
            }
            if self.all_touched {
                for entry in self.entries.iter_mut().filter(|entry| !entry.touched) {
                    let Some(value) = &mut entry.value else { continue };
                    let views = value.settle(&mut entry.slot, spec, types);
                    found = found.union(&views);
                }
            }
        }
        if per_item && !found.is_empty() {
            let granted = &mut self.track.visibility().granted;
            granted.now = granted.now.union(&found);
        }
        found
    }

    /// Streams with views: each view gets its next items.
    fn take_turns(&mut self) {
        if let Some(subscribed) = self.track.subscribed().map(|set| set.now.clone()) {
            for entry in self.entries.iter_mut().filter(|entry| entry.value.is_some()) {
                let shown = entry.visibility.as_ref().map_or(ViewSet::EMPTY, |given| given.now.base.clone());
                entry.queued = entry.queued.union(&subscribed.difference(&shown));
            }
        }
        let mut turns: Vec<(ViewId, u32)> = Vec::new();
        let mut waiting = false;
        for entry in &mut self.entries {
            if entry.queued.is_empty() || entry.value.is_none() {
                continue;
            }
            let views: Vec<ViewId> = entry.queued.iter().collect();
            for view in views {
                let taken = match turns.iter_mut().find(|(known, _)| *known == view) {
                    Some((_, taken)) => taken,
                    None => {
                        turns.push((view, 0));
                        &mut turns.last_mut().expect("just pushed").1
                    }
                };
                if *taken >= self.max_per_tick {
                    waiting = true;
                    continue;
                }
                *taken += 1;
                entry.queued.remove(view);
                entry.visibility.get_or_insert_default().now.show(view, None);
                self.track.visibility().granted.now.insert(view);
                if !entry.touched {
                    entry.touched = true;
                    self.touched.push(entry.index);
                }
            }
        }
        self.track.waiting = waiting;
    }

    pub(crate) fn forget(&mut self, spec: &FieldSpec, view: ViewId, types: &TypeTable) {
        self.track.forget(view);
        for entry in &mut self.entries {
            entry.queued.remove(view);
            if let Some(visibility) = &mut entry.visibility {
                visibility.forget(view);
            }
            if spec.views_below
                && let Some(value) = &mut entry.value
            {
                value.forget(&mut entry.slot, spec, view, types);
            }
        }
    }

    pub(crate) fn is_dirty(&self, spec: &FieldSpec, types: &TypeTable) -> bool {
        if self.cleared || !self.track.is_settled() {
            return true;
        }
        let dirty = |entry: &Entry<K, T>| match &entry.value {
            None => entry.known,
            Some(value) => {
                !entry.known
                    || entry.replaced
                    || entry.visibility.as_ref().is_some_and(|given| given.now != given.seen)
                    || value.is_dirty(&entry.slot, spec, types)
            }
        };
        if self.all_touched {
            return self.entries.iter().any(dirty);
        }
        self.touched.iter().filter_map(|index| self.find(*index)).any(|at| dirty(&self.entries[at]))
    }

    pub(crate) fn full(&self, spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
        let owner = self.track.ref_id;
        let stream = is_stream(spec);
        let scope = scope.collection(cx.part, cx.alone && !stream, self.track.granted());
        let writes = cx.writes(scope);
        if writes && cx.form == FullForm::Rejoin {
            cx.op(owner).push(op::CLEAR);
        }
        let skip_sent = stream && cx.form == FullForm::JoinWithoutStreams;
        let everything = cx.everything();
        let item = |entry: &Entry<K, T>, value: &T, cx: &Full<'_>| {
            let sent = entry.index < self.broadcast_until(spec) && !skip_sent;
            let per_item = spec.per_item() || (stream && !sent);
            let below = match cx.part {
                crate::full::Part::View(view) => {
                    value.inside(&entry.slot).is_some_and(|inside| inside.now.contains(view))
                }
                _ => false,
            };
            let subscribed = match cx.part {
                crate::full::Part::View(view) => {
                    !stream && self.track.subscribed().is_some_and(|set| set.now.contains(view))
                }
                _ => false,
            };
            cx.item(per_item, scope, entry.visibility.as_deref(), subscribed, below)
        };
        for (entry, value) in self.iter() {
            let Some(scope) = item(entry, value, cx) else { continue };
            if cx.writes(scope) {
                let out = cx.op(owner);
                out.push(op::ADD);
                put_uint(out, entry.index);
                entry.key.put(out);
                value.write(&entry.slot, spec, everything, out);
            }
        }
        if matches!(spec.kind, Kind::Collection(_, crate::types::ItemKind::Prim(_))) {
            return;
        }
        for (entry, value) in self.iter() {
            if let Some(scope) = item(entry, value, cx) {
                value.full(&entry.slot, spec, scope, cx);
            }
        }
    }

    pub(crate) fn meta(&self, spec: &FieldSpec, cx: &mut Meta<'_>) {
        meta::counter(cx.out, self.track.ref_id, self.next_index, self.sent_until);
        self.track.meta(cx.out);
        if matches!(spec.kind, Kind::Collection(_, crate::types::ItemKind::Prim(_))) {
            return;
        }
        for (entry, value) in self.iter() {
            let ref_id = value.ref_id(&entry.slot);
            if let Some(given) = &entry.visibility
                && !given.now.is_empty()
            {
                meta::members(cx.out, ref_id, &given.now);
            }
            if !entry.queued.is_empty() {
                meta::queued(cx.out, ref_id, &entry.queued);
            }
            value.meta(&entry.slot, spec, cx);
        }
    }

    /// Takes decoded items: (index, key, value) in ascending order of index.
    pub(crate) fn load(
        &mut self,
        slot: &mut CollectionSlot,
        spec: &FieldSpec,
        ref_id: u32,
        items: impl Iterator<Item = (u32, K, Value)>,
        cx: &mut Load<'_>,
    ) -> Result<(), RestoreError> {
        slot.announce(ref_id);
        self.track.load(ref_id, cx);
        slot.tell(&self.track);
        for (index, key, value) in items {
            let ty = cx.instance_type(spec, &value)?;
            let mut item = T::blank_item(spec, ty, cx.types());
            let mut item_slot = T::Slot::default();
            item.load(&mut item_slot, spec, &value, cx)?;
            let item_ref = item.ref_id(&item_slot);
            self.entries.push(Entry {
                index,
                key,
                value: Some(item),
                slot: item_slot,
                known: true,
                replaced: false,
                touched: false,
                visibility: cx.visibility(item_ref),
                queued: cx.queued(item_ref),
            });
            self.next_index = self.next_index.max(index + 1);
        }
        if let Some((next, sent)) = cx.counter(ref_id) {
            (self.next_index, self.sent_until) = (self.next_index.max(next), sent);
        }
        self.told = (self.next_index, self.sent_until);
        Ok(())
    }

    /// A copy of the values alone: new to every client.
    pub(crate) fn copy(&self) -> Self
    where
        T: Clone,
    {
        let mut copy = Slab::new(self.restarts);
        copy.max_per_tick = self.max_per_tick;
        for (entry, value) in self.iter() {
            copy.push(entry.key.clone(), value.clone());
        }
        copy
    }

    pub(crate) fn inside(&self) -> Option<&Granted> {
        self.track.granted()
    }
}

fn is_stream(spec: &FieldSpec) -> bool {
    matches!(spec.kind, Kind::Collection(CollectionKind::Stream, crate::types::ItemKind::Struct(_)))
}

#[expect(clippy::too_many_arguments, reason = "one call, spelled out")]
fn put_entry<K: Key, T: Item>(
    code: u8,
    entry: &Entry<K, T>,
    owner: u32,
    spec: &FieldSpec,
    scope: &Scope,
    audience: &Scope,
    fresh: bool,
    cx: &mut Patch<'_>,
) {
    let kept;
    let target = match (&audience.old, &audience.new) {
        _ if scope.private => Target::Private,
        // What is new goes to all who see it from now on.
        (Reach::Views(_), Reach::Views(new)) if fresh => Target::Views { audience: new, journal: true },
        (Reach::Views(old), Reach::Views(new)) => {
            kept = old.intersection(new);
            Target::Views { audience: &kept, journal: true }
        }
        _ => Target::Shared,
    };
    put_op(code, entry, spec, target, scope.private, owner, cx);
    let rounded = entry.value.as_ref().is_some_and(|value| value.rounded(spec));
    if rounded && !scope.private {
        put_op(op::REPLACE, entry, spec, Target::Private, true, owner, cx);
    }
}

/// Removes an entry from the views that have it no more. Those that lose the collection get told by its parent.
fn put_lost<K: Key, T: Item>(
    entry: &Entry<K, T>,
    owner: u32,
    scope: &Scope,
    audience: &Scope,
    cx: &mut Patch<'_>,
) {
    let (Reach::Views(old), Reach::Views(new)) = (&audience.old, &audience.new) else { return };
    let lost = old.difference(new);
    let lost = match &scope.new {
        Reach::All => lost,
        Reach::Views(still) => lost.intersection(still),
    };
    if !lost.is_empty() && !scope.private {
        let out = cx.out.op(Target::Views { audience: &lost, journal: false }, owner);
        out.push(op::DELETE);
        put_uint(out, entry.index);
    }
}

fn put_op<K: Key, T: Item>(
    code: u8,
    entry: &Entry<K, T>,
    spec: &FieldSpec,
    target: Target<'_>,
    exact: bool,
    owner: u32,
    cx: &mut Patch<'_>,
) {
    let Some(value) = &entry.value else { return };
    let out = cx.out.op(target, owner);
    out.push(code);
    put_uint(out, entry.index);
    if code & op::ADD != 0 {
        entry.key.put(out);
    }
    value.write(&entry.slot, spec, exact, out);
}
