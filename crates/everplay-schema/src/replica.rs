//! The replica: a state, and what is needed to tell clients and the journal what changed in it.

use crate::decode::{DecodeError, Decoder};
use crate::full::{Full, FullForm, FullScope, Part};
use crate::handshake::Generation;
use crate::meta;
use crate::output::{NO_REF, Output};
use crate::patch;
use crate::restore::{FORMAT_VERSION, Load, Meta, PATCH_VERSION, RestoreError, Stored};
use crate::structure::{ArrayForm, Patch, State, StructSlot, Structure};
use crate::types::{FieldSpec, Kind, Modifiers, TypeTable};
use crate::view::{Following, Scope, Tag, ViewId, ViewSet, Visibility};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells replicas apart within the process, so that a collection moved from one room's state to another's is
/// recognised. Only ever compared; nothing that is written depends on it.
static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);

/// A state tree with its change tracking.
///
/// The state is changed through [`Replica::get_mut`] as plain Rust; [`Replica::patch`] then encodes what changed.
pub struct Replica<S: Structure> {
    state: S,
    slot: StructSlot<S::Shadow>,
    types: Arc<TypeTable>,
    out: Output,
    journal: Vec<u8>,
    next_ref: u32,
    form: ArrayForm,
    following: Following,
    owner: u64,
    /// What views were given on the root.
    visibility: Visibility,
    /// The views given out.
    views: ViewSet,
    /// Records that wait for the next journal patch: views that came and went.
    pending_meta: Vec<u8>,
}

impl<S: State> Replica<S> {
    /// Takes a state. Everything in it goes out with the first [`Replica::patch`].
    pub fn new(state: S) -> Self {
        Self::with_types(state, S::table())
    }

    /// Starts a recovery from a snapshot.
    pub fn restore(snapshot: &[u8]) -> Result<Recovery<S>, RestoreError> {
        Recovery::new(snapshot, S::table())
    }

    /// The types as told to clients of a generation.
    pub fn handshake(generation: Generation) -> Vec<u8> {
        S::table().handshake(generation)
    }

    /// Whether [`Generation::Polyglot`] is possible: not with `quantized` or `stream`.
    pub fn polyglot_possible() -> bool {
        S::table().polyglot_possible()
    }
}

impl<S: Structure> Replica<S> {
    /// Takes a state whose types are known at run time only.
    pub fn with_types(state: S, types: Arc<TypeTable>) -> Self {
        let mut replica = Self::bare(state, types);
        // The root is 0 and everything below is numbered at once, depth first.
        let mut cx = replica_patch(&mut replica);
        patch::introduce(cx.1, cx.2, &mut cx.0);
        let next = cx.0.next_ref;
        replica.next_ref = next;
        replica.slot.announced = true;
        replica
    }

    fn bare(state: S, types: Arc<TypeTable>) -> Self {
        let mut out = Output::default();
        out.clear();
        Replica {
            state,
            slot: StructSlot::default(),
            types,
            out,
            journal: Vec::new(),
            next_ref: 0,
            form: ArrayForm::default(),
            following: Following::default(),
            owner: NEXT_OWNER.fetch_add(1, Ordering::Relaxed),
            visibility: Visibility::default(),
            views: ViewSet::default(),
            pending_meta: Vec::new(),
        }
    }

    /// The state.
    pub fn get(&self) -> &S {
        &self.state
    }

    /// The state, to change it. Costs nothing by itself: the next patch compares the root's own fields and whatever
    /// collections gave out.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.state
    }

    /// The types of the state.
    pub fn types(&self) -> &TypeTable {
        &self.types
    }

    /// Chooses how array changes are written; portable unless set.
    pub fn set_array_form(&mut self, form: ArrayForm) {
        self.form = form;
    }

    /// Chooses what follows an instance that is shown; nested structs do unless set. Not part of snapshots.
    pub fn set_following(&mut self, following: Following) {
        self.following = following;
    }

    /// Encodes all changes since the last call. False: nothing changed, and the results are empty.
    ///
    /// The results can be read until the next call. Allocates nothing once its buffers have grown.
    pub fn patch(&mut self) -> bool {
        self.out.clear();
        self.journal.clear();
        let types = self.types.clone();
        if types.has_views() {
            let _ = patch::settle(&mut self.state, &mut self.slot, &types);
        }
        let before = self.next_ref;
        let mut cx = Patch {
            types: &types,
            out: &mut self.out,
            next_ref: self.next_ref,
            form: self.form,
            owner: self.owner,
            views: !self.views.is_empty(),
            again: false,
        };
        let alone = self.following == Following::Nothing;
        if self.visibility == Visibility::default() && !alone {
            patch::walk(&mut self.state, &mut self.slot, &Scope::SHARED, &mut cx);
        } else {
            let scope = Scope {
                members_old: self.visibility.seen.clone(),
                members_new: self.visibility.now.clone(),
                alone,
                ..Scope::SHARED
            };
            patch::walk(&mut self.state, &mut self.slot, &scope, &mut cx);
            if self.visibility.now != self.visibility.seen {
                meta::members(&mut cx.out.meta, 0, &self.visibility.now);
                self.visibility.seen = self.visibility.now.clone();
            }
        }
        self.next_ref = cx.next_ref;
        if self.next_ref != before {
            meta::next_ref(&mut self.out.meta, self.next_ref);
        }
        self.out.finish();
        if self.out.is_empty() && self.pending_meta.is_empty() {
            return false;
        }
        self.write_journal();
        true
    }

    fn write_journal(&mut self) {
        self.journal.push(PATCH_VERSION);
        let start = self.journal.len();
        self.journal.extend_from_slice(&[0; 4]);
        let shared = self.out.journal(&mut self.journal);
        put_len(&mut self.journal, start);
        let operations = self.journal.len() - start - 4;
        match shared {
            // Rooms without filtered and private fields, which are most, need not say it.
            Some(shared) if shared == operations => {}
            Some(shared) => meta::shared(&mut self.journal, shared as u32),
            None => meta::shared_elsewhere(&mut self.journal),
        }
        self.journal.append(&mut self.pending_meta);
        self.journal.extend_from_slice(&self.out.meta);
    }

    /// What every client gets of the last patch, after the opcode. May be empty.
    pub fn shared_patch(&self) -> &[u8] {
        &self.out.shared
    }

    /// Appends what this view gets of the last patch beyond the shared part.
    pub fn view_patch(&self, view: ViewId, out: &mut Vec<u8>) {
        self.out.view(view, out);
    }

    /// Whether the last patch changed something that clients with this view, or all, can see.
    pub fn has_views(&self) -> bool {
        self.types.has_views()
    }

    /// The last patch for the journal: all parts, server-only fields, visibility and counters.
    /// [`shared_of`](crate::shared_of) cuts the shared part out again.
    pub fn journal_patch(&self) -> &[u8] {
        &self.journal
    }

    /// Whether changes wait for the next patch. Looks at what was touched.
    pub fn is_dirty(&self) -> bool {
        self.slot.fresh
            || self.visibility.now != self.visibility.seen
            || patch::is_dirty(&self.state, &self.slot, &self.types)
    }

    /// Appends the full state for a new or returning client. Nothing may be pending: call [`Replica::patch`] first,
    /// and do not send that older patch to the newcomer.
    pub fn full_state(&self, view: Option<ViewId>, form: FullForm, out: &mut Vec<u8>) {
        debug_assert!(!self.is_dirty(), "a full state of a replica with pending changes");
        self.full(Part::Shared, form, out);
        if let Some(view) = view {
            self.full(Part::View(view), form, out);
        }
    }

    fn full(&self, part: Part, form: FullForm, out: &mut Vec<u8>) {
        let mut scope = FullScope::ROOT;
        let alone = self.following == Following::Nothing;
        // The shared part starts at the root without a switch.
        let mut at = 0;
        if let Part::View(view) = part {
            scope = scope.given(view, &self.visibility.now);
            at = NO_REF;
        }
        let mut cx = Full { types: &self.types, out, part, form, at, alone };
        cx.structure(&self.state, &self.slot, scope);
    }

    /// Gives out a view: the smallest free id. It sees nothing filtered until it is shown something.
    pub fn add_view(&mut self) -> ViewId {
        let id =
            (0..).map(ViewId).find(|id| !self.views.contains(*id)).expect("there are more ids than views");
        self.views.insert(id);
        meta::views(&mut self.pending_meta, &self.views);
        id
    }

    /// Takes a view back, with everything it was shown. Looks at the whole state.
    pub fn remove_view(&mut self, view: ViewId) {
        if !self.views.remove(view) {
            return;
        }
        self.visibility.forget(view);
        patch::forget(&mut self.state, &mut self.slot, view, &self.types);
        meta::forget(&mut self.pending_meta, view);
    }

    /// The views given out.
    pub fn views(&self) -> impl Iterator<Item = ViewId> + '_ {
        self.views.iter()
    }

    /// Shows the root's default-tagged fields to a view, and those with one of the tag's bits.
    pub fn show_root(&mut self, view: ViewId, tag: Option<Tag>) {
        self.visibility.now.show(view, tag);
    }

    /// Shows the root's default-tagged fields from now on: the view gets changes and full states, but not what is
    /// there by now.
    pub fn show_root_later(&mut self, view: ViewId, tag: Tag) {
        self.visibility.now.show_later(view, tag);
    }

    /// Takes back what [`Replica::show_root`] gave: everything, or tag bits.
    pub fn hide_root(&mut self, view: ViewId, tag: Option<Tag>) {
        self.visibility.now.hide(view, tag);
    }

    /// Appends a snapshot: everything a successor needs. Nothing may be pending.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        debug_assert!(!self.is_dirty(), "a snapshot of a replica with pending changes");
        out.push(FORMAT_VERSION);
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        crate::type_codec::put(&self.types, out);
        put_len(out, start);
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.full(Part::Everything, FullForm::Join, out);
        put_len(out, start);
        meta::next_ref(out, self.next_ref);
        meta::views(out, &self.views);
        if !self.visibility.now.is_empty() {
            meta::members(out, 0, &self.visibility.now);
        }
        Meta { types: &self.types, out }.structure(&self.state, &self.slot);
    }
}

/// Writes the length of what follows the four bytes at `start` into them.
fn put_len(out: &mut [u8], start: usize) {
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

fn replica_patch<S: Structure>(replica: &mut Replica<S>) -> (Patch<'_>, &mut S, &mut StructSlot<S::Shadow>) {
    let cx = Patch {
        types: &replica.types,
        out: &mut replica.out,
        next_ref: replica.next_ref,
        form: replica.form,
        owner: replica.owner,
        views: false,
        again: false,
    };
    (cx, &mut replica.state, &mut replica.slot)
}

impl<S: Structure + fmt::Debug> fmt::Debug for Replica<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("state", &self.state).field("next_ref", &self.next_ref).finish()
    }
}

/// A replica being restored.
#[derive(Debug)]
pub struct Recovery<S: Structure> {
    stored: Stored,
    types: Arc<TypeTable>,
    state: std::marker::PhantomData<fn() -> S>,
}

impl<S: Structure> Recovery<S> {
    /// Reads a snapshot for a state of these types.
    pub fn new(snapshot: &[u8], types: Arc<TypeTable>) -> Result<Self, RestoreError> {
        Ok(Recovery { stored: Stored::read(snapshot)?, types, state: std::marker::PhantomData })
    }

    /// Applies the next journal patch.
    pub fn apply(&mut self, journal_patch: &[u8]) -> Result<(), RestoreError> {
        Ok(self.stored.apply(journal_patch)?)
    }

    /// Loads the state.
    pub fn finish(self) -> Result<Replica<S>, RestoreError> {
        let mut replica = Replica::bare(S::blank(0, &self.types), self.types);
        let root = FieldSpec {
            name: "root".to_owned(),
            index: 0,
            kind: Kind::Struct(0),
            modifiers: Modifiers::default(),
            views_below: true,
            plain: true,
        };
        let types = replica.types.clone();
        let mut cx = Load::new(&types, &self.stored, replica.owner);
        cx.structure(&mut replica.state, &mut replica.slot, &root, &crate::decode::Value::Ref(0))?;
        if let Some(visibility) = cx.visibility(0) {
            replica.visibility = *visibility;
        }
        replica.views = self.stored.meta.views.clone();
        replica.next_ref = self.stored.meta.next_ref;
        Ok(replica)
    }
}

/// A journal's state without its Rust type: the console, replay and recovery tools.
#[derive(Clone, Debug)]
pub struct Inspector {
    stored: Stored,
}

impl Inspector {
    /// Applies the next journal patch.
    pub fn apply_journal(&mut self, journal_patch: &[u8]) -> Result<(), DecodeError> {
        self.stored.apply(journal_patch)
    }

    /// The state as decoded.
    pub fn decoder(&self) -> &Decoder {
        &self.stored.decoder
    }

    /// The whole state as JSON, server-only fields included.
    #[cfg(feature = "json")]
    pub fn to_json(&self) -> serde_json::Value {
        self.stored.decoder.to_json()
    }
}

/// Opens any snapshot without its Rust type.
pub fn inspect(snapshot: &[u8]) -> Result<Inspector, DecodeError> {
    Ok(Inspector { stored: Stored::read(snapshot)? })
}
