//! Encodes lists.
//!
//! A decoder applies deletions by emptying slots and closes the holes when it leaves the list, so within one visit
//! positions count the holes of this visit ("virtual" positions below). What is written depends on what happened:
//!
//! | change | native | portable |
//! | --- | --- | --- |
//! | appended, removed | ADD behind the end, DELETE | the same |
//! | inserted in the middle | ADD at the position | every slot from there rewritten |
//! | only the order changed | REPLACE of the slots that differ, or REVERSE | REPLACE |
//! | order changed and items came or went | CLEAR, ADD of all | slots rewritten |
//! | cleared | CLEAR, ADD of all | the same |
//!
//! Decoders drop an inserted primitive that equals the one in its slot; such an insert is rewritten in both forms.
//!
//! Items shown one by one have no position in a view: views get them by refId, and the journal gets the positions.

use crate::full::{Full, FullForm, FullScope, Part};
use crate::list::{List, ListEntry, NEW};
use crate::meta;
use crate::number::put_uint;
use crate::output::{Target, op};
use crate::patch::item_scope;
use crate::structure::{ArrayForm, Change, Item, Patch};
use crate::types::{FieldSpec, TypeTable};
use crate::view::{Reach, Scope, ViewSet};

/// How the positions of a list changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Not at all.
    Same,
    /// Survivors are in their old order.
    Ordered { inserts: bool },
    /// The same items in exactly the opposite order, by `reverse`.
    Reversed,
    /// The same items in another order.
    Permuted,
    /// Anything else.
    Mixed,
    /// Everything clients had is gone.
    Cleared,
}

impl<T: Item> List<T> {
    /// Gives the list and its items refIds: they are new to all clients.
    pub(crate) fn introduce_again(&mut self, spec: &FieldSpec, cx: &mut Patch<'_>) {
        self.removed.clear();
        self.exchanged.clear();
        self.touched.clear();
        self.all_touched = false;
        (self.cleared, self.reversed) = (false, false);
        (self.known_len, self.first_moved) = (0, 0);
        self.track.introduce(cx);
        for entry in &mut self.entries {
            entry.slot = T::Slot::default();
            (entry.was, entry.replaced, entry.touched) = (NEW, false, true);
            if spec.prim().is_none() {
                entry.value.introduce(&mut entry.slot, spec, cx);
            }
        }
    }

    pub(crate) fn encode(&mut self, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
        let scope = &*self.track.scope(scope);
        let idle = self.touched.is_empty() && !self.all_touched && self.first_moved == usize::MAX;
        let steady = scope.is_steady() && self.track.is_settled();
        if idle && steady && !self.track.fresh {
            return;
        }
        let whole = self.all_touched || !steady;
        let touched = std::mem::take(&mut self.touched);
        self.write_ops(spec, scope, whole, &touched, cx);
        if spec.prim().is_none() {
            self.write_below(spec, scope, whole, &touched, cx);
        }
        self.commit(touched, whole, cx);
    }

    fn commit(&mut self, mut touched: Vec<u32>, whole: bool, cx: &mut Patch<'_>) {
        let from = if whole { 0 } else { self.first_moved.min(self.entries.len()) };
        for &index in &touched {
            if let Some(entry) = self.entries.get_mut(index as usize) {
                entry.touched = false;
            }
        }
        for (was, entry) in (from as u32..).zip(&mut self.entries[from..]) {
            (entry.was, entry.touched) = (was, false);
        }
        touched.clear();
        self.touched = touched;
        // Streams below that have more to send.
        if cx.again {
            for index in 0..self.entries.len() {
                if std::mem::take(&mut self.entries[index].again) {
                    let _ = self.touch(index);
                }
            }
        }
        self.all_touched = false;
        self.removed.clear();
        self.exchanged.clear();
        self.first_moved = usize::MAX;
        self.known_len = self.entries.len() as u32;
        (self.cleared, self.reversed) = (false, false);
        self.track.settle(cx);
        self.track.fresh = false;
    }

    fn layout(&self) -> Layout {
        if self.cleared {
            return Layout::Cleared;
        }
        if self.first_moved == usize::MAX {
            return Layout::Same;
        }
        let moved = &self.entries[self.first_moved.min(self.entries.len())..];
        let (mut last, mut ordered, mut new, mut inserts) = (None, true, false, false);
        for entry in moved {
            if entry.was == NEW {
                new = true;
            } else {
                ordered &= last.is_none_or(|last| last < entry.was);
                inserts |= new;
                last = Some(entry.was);
            }
        }
        let swapped = !new && self.removed.is_empty();
        match (ordered, swapped) {
            (true, true) => Layout::Same,
            (true, false) => Layout::Ordered { inserts },
            (false, true) if self.reversed => Layout::Reversed,
            (false, true) => Layout::Permuted,
            (false, false) => Layout::Mixed,
        }
    }

    /// Compares touched items with what clients know; returns per entry whether its slot has to be written again.
    fn poll_items(&mut self, spec: &FieldSpec, whole: bool, touched: &[u32], cx: &mut Patch<'_>) -> Vec<u32> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.clear();
        let moved = self.first_moved;
        let mut poll = |index: usize, entry: &mut ListEntry<T>, cx: &mut Patch<'_>| {
            if std::mem::take(&mut entry.replaced) {
                // Told as a replacement below, whatever `poll` says.
                let _ = entry.value.poll(&mut entry.slot, spec, cx);
                entry.replaced = true;
                changed.push(index as u32);
                return;
            }
            let change = entry.value.poll(&mut entry.slot, spec, cx);
            if entry.was != NEW && change != Change::None {
                entry.replaced = change == Change::Replace;
                changed.push(index as u32);
            }
        };
        if whole {
            for (index, entry) in self.entries.iter_mut().enumerate() {
                poll(index, entry, cx);
            }
            return changed;
        }
        for &index in touched {
            let index = index as usize;
            if index < moved
                && let Some(entry) = self.entries.get_mut(index)
            {
                poll(index, entry, cx);
            }
        }
        let from = moved.min(self.entries.len());
        for (offset, entry) in self.entries[from..].iter_mut().enumerate() {
            if entry.touched || entry.was == NEW {
                poll(from + offset, entry, cx);
            }
        }
        if moved != usize::MAX {
            // Looked up by position while positions are written.
            changed.sort_unstable();
        }
        changed
    }

    fn write_ops(
        &mut self,
        spec: &FieldSpec,
        scope: &Scope,
        whole: bool,
        touched: &[u32],
        cx: &mut Patch<'_>,
    ) {
        let changed = self.poll_items(spec, whole, touched, cx);
        let nobody = ViewSet::EMPTY;
        let (old, new) = match (&scope.old, &scope.new) {
            (Reach::Views(old), Reach::Views(new)) => (Some(old), Some(new)),
            _ => (None, None),
        };
        let kept = old.zip(new).map(|(old, new)| old.intersection(new));
        let everyone = match &kept {
            _ if scope.private => Target::Private,
            Some(kept) => Target::Views { audience: kept, journal: true },
            None => Target::Shared,
        };
        let by_ref = (spec.per_item() || scope.by_item(spec)) && !scope.private;
        let positions = if by_ref { Target::Views { audience: &nobody, journal: true } } else { everyone };
        if self.cleared {
            cx.out.op(everyone, self.track.ref_id).push(op::CLEAR);
        }
        let rewritten = self.write_positions(spec, positions, &changed, cx);
        if by_ref {
            self.write_by_ref(spec, scope, whole, cx);
        } else if let Some((old, new)) = old.zip(new) {
            let gained = new.difference(old);
            if !gained.is_empty() && !scope.private {
                let to = Target::Views { audience: &gained, journal: false };
                for (index, entry) in self.entries.iter().enumerate() {
                    put(op::ADD, index, entry, spec, to, self.track.ref_id, cx);
                }
            }
        }
        let moved = self.first_moved.min(self.entries.len());
        if !scope.private && !by_ref {
            for &index in &changed {
                self.put_exact(index as usize, spec, cx);
            }
            for index in if rewritten { 0 } else { moved }..self.entries.len() {
                if rewritten || self.entries[index].was == NEW {
                    self.put_exact(index, spec, cx);
                }
            }
        }
        for &index in &changed {
            self.entries[index as usize].replaced = false;
        }
        self.changed = changed;
    }

    /// The journal must hold what the room holds, not what clients read.
    fn put_exact(&self, index: usize, spec: &FieldSpec, cx: &mut Patch<'_>) {
        let entry = &self.entries[index];
        if entry.value.rounded(spec) {
            let out = cx.out.op(Target::Private, self.track.ref_id);
            out.push(op::REPLACE);
            put_uint(out, index as u32);
            entry.value.write(&entry.slot, spec, true, out);
        }
    }

    /// Returns whether items that clients had were written again.
    fn write_positions(
        &mut self,
        spec: &FieldSpec,
        to: Target<'_>,
        changed: &[u32],
        cx: &mut Patch<'_>,
    ) -> bool {
        let owner = self.track.ref_id;
        let native = cx.form == ArrayForm::Native;
        let layout = self.layout();
        match layout {
            Layout::Same => self.write_changed(spec, to, changed, |index| index, cx),
            Layout::Cleared => self.write_all(spec, to, cx),
            Layout::Ordered { inserts } if !inserts || (native && !self.insert_is_lost(spec)) => {
                self.write_ordered(spec, to, changed, cx);
                return false;
            }
            Layout::Reversed if native && changed.is_empty() => {
                cx.out.op(to, owner).push(op::REVERSE);
                return false;
            }
            // REPLACE counts no references: right as long as the same instances stay.
            Layout::Permuted | Layout::Reversed if !self.entries.iter().any(|entry| entry.replaced) => {
                for (index, entry) in self.entries.iter().enumerate() {
                    if entry.was != index as u32 || changed.binary_search(&(index as u32)).is_ok() {
                        put(op::REPLACE, index, entry, spec, to, owner, cx);
                    }
                }
            }
            Layout::Mixed if native => {
                cx.out.op(to, owner).push(op::CLEAR);
                self.write_all(spec, to, cx);
            }
            _ => self.rewrite(spec, to, changed, cx),
        }
        layout != Layout::Same
    }

    fn write_changed(
        &self,
        spec: &FieldSpec,
        to: Target<'_>,
        changed: &[u32],
        position: impl Fn(usize) -> usize,
        cx: &mut Patch<'_>,
    ) {
        for &index in changed {
            let entry = &self.entries[index as usize];
            let code = if entry.replaced { op::DELETE_AND_ADD } else { op::REPLACE };
            put(code, position(index as usize), entry, spec, to, self.track.ref_id, cx);
        }
    }

    fn write_all(&self, spec: &FieldSpec, to: Target<'_>, cx: &mut Patch<'_>) {
        for (index, entry) in self.entries.iter().enumerate() {
            put(op::ADD, index, entry, spec, to, self.track.ref_id, cx);
        }
    }

    /// Every slot whose occupant changed, by position.
    fn rewrite(&self, spec: &FieldSpec, to: Target<'_>, changed: &[u32], cx: &mut Patch<'_>) {
        let owner = self.track.ref_id;
        let known = self.known_len as usize;
        // A primitive is set, an instance is exchanged: what it takes from one slot it gives to another.
        let exchange = if spec.prim().is_some() { op::REPLACE } else { op::DELETE_AND_ADD };
        for (index, entry) in self.entries.iter().enumerate() {
            if index >= known {
                put(op::ADD, index, entry, spec, to, owner, cx);
            } else if entry.was != index as u32 || changed.binary_search(&(index as u32)).is_ok() {
                put(exchange, index, entry, spec, to, owner, cx);
            }
        }
        for index in self.entries.len()..known {
            let out = cx.out.op(to, owner);
            out.push(op::DELETE);
            put_uint(out, index as u32);
        }
    }

    /// Survivors are in order: deletions, then what comes in.
    fn write_ordered(&mut self, spec: &FieldSpec, to: Target<'_>, changed: &[u32], cx: &mut Patch<'_>) {
        let owner = self.track.ref_id;
        let by_ref = cx.form == ArrayForm::Native && spec.prim().is_none();
        self.removed.sort_unstable_by_key(|removed| removed.was);
        // Which removed slots get a new occupant: those with a new item before the next survivor.
        let from = self.first_moved.min(self.entries.len());
        let mut refilled = vec![NEW; self.removed.len()];
        let (mut hole, mut index) = (0, from);
        while index < self.entries.len() {
            let start = index;
            while index < self.entries.len() && self.entries[index].was == NEW {
                index += 1;
            }
            let Some(survivor) = self.entries.get(index) else { break };
            let mut new = start;
            while hole < self.removed.len() && self.removed[hole].was < survivor.was {
                if new < index {
                    refilled[hole] = new as u32;
                    new += 1;
                }
                hole += 1;
            }
            index += 1;
        }
        for (removed, refilled) in self.removed.iter().zip(&refilled) {
            if *refilled == NEW {
                let out = cx.out.op(to, owner);
                out.push(if by_ref { op::DELETE_BY_REFID } else { op::DELETE });
                put_uint(out, if by_ref { removed.ref_id } else { removed.was });
            }
        }
        for (removed, refilled) in self.removed.iter().zip(&refilled) {
            if *refilled != NEW {
                let entry = &self.entries[*refilled as usize];
                put(op::DELETE_AND_ADD, removed.was as usize, entry, spec, to, owner, cx);
            }
        }
        // Virtual positions from here on: holes count.
        let mut virtual_of =
            Vec::with_capacity(if changed.is_empty() { 0 } else { self.entries.len() - from });
        let tail = self.entries.iter().rposition(|entry| entry.was != NEW).map_or(0, |last| last + 1);
        let mut position = from;
        let mut hole = 0;
        for (index, entry) in self.entries.iter().enumerate().skip(from) {
            if entry.was == NEW {
                if refilled.get(hole) == Some(&(index as u32)) {
                    hole += 1;
                } else {
                    if index >= tail {
                        while hole < self.removed.len() {
                            position += 1;
                            hole += 1;
                        }
                    }
                    put(op::ADD, position, entry, spec, to, owner, cx);
                }
            } else {
                while hole < self.removed.len() && self.removed[hole].was < entry.was {
                    position += usize::from(refilled[hole] == NEW);
                    hole += 1;
                }
            }
            if !changed.is_empty() {
                virtual_of.push(position);
            }
            position += 1;
        }
        self.write_changed(
            spec,
            to,
            changed,
            |index| if index < from { index } else { virtual_of[index - from] },
            cx,
        );
    }

    /// Whether a decoder would drop an inserted primitive because it equals the one it is inserted before.
    fn insert_is_lost(&self, spec: &FieldSpec) -> bool {
        if spec.prim().is_none() {
            return false;
        }
        let bytes = |entry: &ListEntry<T>| {
            let mut bytes = Vec::new();
            entry.value.write(&entry.slot, spec, true, &mut bytes);
            bytes
        };
        let from = self.first_moved.min(self.entries.len());
        let mut next: Option<Vec<u8>> = None;
        for entry in self.entries[from..].iter().rev() {
            if entry.was != NEW {
                // A changed survivor has its old value in the decoder at that moment: do not try to be clever.
                if entry.touched {
                    return true;
                }
                next = Some(bytes(entry));
            } else if next.as_ref().is_some_and(|next| *next == bytes(entry)) {
                return true;
            }
        }
        false
    }

    /// Items shown one by one: what each view gets, by refId.
    fn write_by_ref(&mut self, spec: &FieldSpec, scope: &Scope, whole: bool, cx: &mut Patch<'_>) {
        let owner = self.track.ref_id;
        for removed in self.removed.iter().chain(&self.exchanged) {
            let mut seen = removed.seen.clone();
            if let Some(subscribed) = self.track.subscribed() {
                seen = seen.union(&subscribed.seen);
            }
            let seen = scope.old.and(&seen);
            if !seen.is_empty() {
                let out = cx.out.op(Target::Views { audience: &seen, journal: false }, owner);
                out.push(op::DELETE_BY_REFID);
                put_uint(out, removed.ref_id);
            }
        }
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            if !(whole || entry.touched || entry.was == NEW) {
                continue;
            }
            let item = self.entry_scope(index, spec, scope).unwrap_or_else(|| scope.clone());
            let (Reach::Views(old), Reach::Views(new)) = (&item.old, &item.new) else { continue };
            let nobody = ViewSet::EMPTY;
            // A cleared list was emptied for everyone; a new or replaced instance is known to nobody.
            let old = if entry.was == NEW || entry.replaced || self.cleared { &nobody } else { old };
            let gained = new.difference(old);
            if !gained.is_empty() {
                let ref_id = entry.value.ref_id(&entry.slot);
                let out = cx.out.op(Target::Views { audience: &gained, journal: false }, owner);
                out.push(op::ADD_BY_REFID);
                put_uint(out, ref_id);
                entry.value.write(&entry.slot, spec, false, out);
            }
            let lost = old.difference(new);
            let lost = match &scope.new {
                Reach::All => lost,
                Reach::Views(still) => lost.intersection(still),
            };
            if !lost.is_empty() {
                let ref_id = entry.value.ref_id(&entry.slot);
                let out = cx.out.op(Target::Views { audience: &lost, journal: false }, owner);
                out.push(op::DELETE_BY_REFID);
                put_uint(out, ref_id);
            }
        }
    }

    fn entry_scope(&self, index: usize, spec: &FieldSpec, scope: &Scope) -> Option<Scope> {
        if !spec.per_item() && !spec.views_below && !scope.alone {
            return None;
        }
        let entry = &self.entries[index];
        let inside = entry.value.inside(&entry.slot);
        Some(item_scope(
            spec.per_item() || scope.by_item(spec),
            scope,
            entry.visibility.as_deref(),
            [self.track.subscribed(), inside],
        ))
    }

    fn write_below(
        &mut self,
        spec: &FieldSpec,
        scope: &Scope,
        whole: bool,
        touched: &[u32],
        cx: &mut Patch<'_>,
    ) {
        let moved = self.first_moved.min(self.entries.len());
        if whole {
            for index in 0..self.entries.len() {
                self.item_below(index, spec, scope, cx);
            }
            return;
        }
        for &index in touched {
            if (index as usize) < moved {
                self.item_below(index as usize, spec, scope, cx);
            }
        }
        for index in moved..self.entries.len() {
            if self.entries[index].touched || self.entries[index].was == NEW {
                self.item_below(index, spec, scope, cx);
            }
        }
    }

    fn item_below(&mut self, index: usize, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
        let item_scope = self.entry_scope(index, spec, scope);
        let entry = &mut self.entries[index];
        let fresh = entry.was == NEW || entry.value.is_fresh(&entry.slot);
        let outer = std::mem::take(&mut cx.again);
        entry.value.descend(&mut entry.slot, spec, item_scope.as_ref().unwrap_or(scope), cx);
        entry.again = cx.again;
        cx.again |= outer;
        if let Some(given) = &mut entry.visibility
            && given.now != given.seen
        {
            if !(fresh && given.now.is_empty()) {
                meta::members(&mut cx.out.meta, entry.value.ref_id(&entry.slot), &given.now);
            }
            given.seen = given.now.clone();
        }
    }

    pub(crate) fn settle_views(&mut self, spec: &FieldSpec, types: &TypeTable) -> ViewSet {
        let mut found = self.track.newly_granted();
        if spec.views_below {
            for entry in &mut self.entries {
                if entry.touched || self.all_touched || entry.was == NEW {
                    let views = entry.value.settle(&mut entry.slot, spec, types);
                    found = found.union(&views);
                }
            }
        }
        if spec.per_item() && !found.is_empty() {
            let granted = &mut self.track.visibility().granted;
            granted.now = granted.now.union(&found);
        }
        found
    }

    pub(crate) fn has_pending(&self, spec: &FieldSpec, types: &TypeTable) -> bool {
        if self.first_moved != usize::MAX || self.cleared || !self.track.is_settled() {
            return true;
        }
        let dirty = |entry: &ListEntry<T>| {
            entry.replaced
                || entry.visibility.as_ref().is_some_and(|given| given.now != given.seen)
                || entry.value.is_dirty(&entry.slot, spec, types)
        };
        if self.all_touched {
            return self.entries.iter().any(dirty);
        }
        self.touched.iter().filter_map(|index| self.entries.get(*index as usize)).any(dirty)
    }

    pub(crate) fn encode_full(&self, spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
        let owner = self.track.ref_id;
        let scope = scope.collection(cx.part, cx.alone, self.track.granted());
        if cx.writes(scope) && cx.form == FullForm::Rejoin {
            cx.op(owner).push(op::CLEAR);
        }
        let everything = cx.everything();
        let by_ref = spec.per_item() && !everything;
        let item = |entry: &ListEntry<T>, cx: &Full<'_>| {
            let (below, subscribed) = match cx.part {
                Part::View(view) => (
                    entry.value.inside(&entry.slot).is_some_and(|inside| inside.now.contains(view)),
                    self.track.subscribed().is_some_and(|set| set.now.contains(view)),
                ),
                _ => (false, false),
            };
            cx.item(spec.per_item(), scope, entry.visibility.as_deref(), subscribed, below)
        };
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(scope) = item(entry, cx) else { continue };
            if cx.writes(scope) {
                let ref_id = entry.value.ref_id(&entry.slot);
                let out = cx.op(owner);
                out.push(if by_ref { op::ADD_BY_REFID } else { op::ADD });
                put_uint(out, if by_ref { ref_id } else { index as u32 });
                entry.value.write(&entry.slot, spec, everything, out);
            }
        }
        if spec.prim().is_some() {
            return;
        }
        for entry in &self.entries {
            if let Some(scope) = item(entry, cx) {
                entry.value.full(&entry.slot, spec, scope, cx);
            }
        }
    }
}

fn exact(to: Target<'_>) -> bool {
    matches!(to, Target::Private)
}

fn put<T: Item>(
    code: u8,
    index: usize,
    entry: &ListEntry<T>,
    spec: &FieldSpec,
    to: Target<'_>,
    owner: u32,
    cx: &mut Patch<'_>,
) {
    let out = cx.out.op(to, owner);
    out.push(code);
    put_uint(out, index as u32);
    if code & op::ADD == 0 && spec.prim().is_none() {
        // A TYPE_ID only follows where an instance may be introduced.
        put_uint(out, entry.value.ref_id(&entry.slot));
    } else {
        entry.value.write(&entry.slot, spec, exact(to), out);
    }
}
