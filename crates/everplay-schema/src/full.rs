//! Writes full states: what a client gets that has nothing yet, or something old.
//!
//! The tree is walked depth first, parent before child; each structure's section holds its fields or items as ADD.
//! A client with a view gets the shared part and then a second walk that writes only what its view adds.

use crate::number::put_uint;
use crate::output::{NO_REF, op};
use crate::structure::{Field, StructSlot, Structure, VisitorRef};
use crate::types::{FieldSpec, Kind, TypeTable};
use crate::view::{FieldTag, Granted, Members, ViewId, Visibility};

/// What kind of client a full state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullForm {
    /// It has nothing yet.
    Join,
    /// It kept an older state under the same refIds: every collection starts with CLEAR, unset fields are deleted.
    /// Right for all decoder generations.
    Rejoin,
    /// It kept an older state and its decoder sweeps collections by itself after a new join, as schema 5 does: only
    /// unset fields are deleted. Items that stayed cause no callbacks.
    Resync,
    /// As `Join`, but without the items a broadcast stream sent before: what the official server sends newcomers.
    JoinWithoutStreams,
}

/// Which part of the state is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What everyone sees.
    Shared,
    /// What this view sees beyond that.
    View(ViewId),
    /// Everything, server-only fields included: snapshots.
    Everything,
}

/// What the reader of a full state may see of a structure.
#[derive(Clone, Copy, Debug)]
pub struct FullScope {
    /// The structure is filtered and the view has it: untagged fields are written.
    inside: bool,
    /// The view was shown the structure.
    base: bool,
    /// The tag bits the view was given on it.
    tags: u32,
    /// The view was shown something below it.
    below: bool,
    /// The view was shown the structure later.
    later: bool,
}

impl FullScope {
    pub(crate) const ROOT: FullScope =
        FullScope { inside: false, base: false, tags: 0, below: false, later: false };

    fn sees(&self, tag: FieldTag) -> bool {
        match tag {
            FieldTag::Default => self.base || self.later,
            FieldTag::Bits(bits) => self.tags & bits != 0,
        }
    }

    /// The scope of a struct that follows nothing.
    pub(crate) fn alone(self, view: ViewId, members: &Members) -> FullScope {
        let scope = FullScope { base: false, tags: 0, later: false, ..self }.given(view, members);
        FullScope { inside: scope.inside && (scope.base || scope.later), ..scope }
    }

    /// The scope of a collection that follows nothing.
    pub(crate) fn collection(self, part: Part, alone: bool, granted: Option<&Granted>) -> FullScope {
        match part {
            Part::View(view) if alone => {
                let shown = granted.is_some_and(|granted| granted.now.contains(view));
                FullScope { inside: self.inside && shown, ..self }
            }
            _ => self,
        }
    }

    pub(crate) fn given(mut self, view: ViewId, members: &Members) -> FullScope {
        self.base |= members.base.contains(view);
        self.later |= members.later().contains(view);
        for (bit, views) in &members.tags {
            if views.contains(view) {
                self.tags |= bit;
            }
        }
        self
    }
}

/// State of one full encode.
pub struct Full<'t> {
    pub(crate) types: &'t TypeTable,
    pub(crate) out: &'t mut Vec<u8>,
    pub(crate) part: Part,
    pub(crate) form: FullForm,
    /// The structure the reader is at.
    pub(crate) at: u32,
    /// What is inside does not follow.
    pub(crate) alone: bool,
}

impl<'t> Full<'t> {
    fn deletes_unset(&self) -> bool {
        matches!(self.form, FullForm::Rejoin | FullForm::Resync)
    }

    /// Writes shared parts of the tree in the middle of something else.
    pub(crate) fn section(types: &'t TypeTable, out: &'t mut Vec<u8>) -> Self {
        Full { types, out, part: Part::Shared, form: FullForm::Join, at: NO_REF, alone: false }
    }

    pub(crate) fn op(&mut self, ref_id: u32) -> &mut Vec<u8> {
        if self.at != ref_id {
            self.out.push(op::SWITCH);
            put_uint(self.out, ref_id);
            self.at = ref_id;
        }
        self.out
    }

    pub(crate) fn everything(&self) -> bool {
        self.part == Part::Everything
    }

    /// Whether untagged content of a structure with this scope is written.
    pub(crate) fn writes(&self, scope: FullScope) -> bool {
        match self.part {
            Part::Shared | Part::Everything => true,
            Part::View(_) => scope.inside,
        }
    }

    /// The scope of an item, or `None` when this part has nothing of it.
    pub(crate) fn item(
        &self,
        per_item: bool,
        scope: FullScope,
        given: Option<&Visibility>,
        subscribed: bool,
        below: bool,
    ) -> Option<FullScope> {
        // As in `item_scope`: in a filtered part items follow what they are in.
        let base = scope.inside && scope.base && !per_item && !self.alone;
        let mut item = FullScope { base, tags: 0, below, later: false, ..scope };
        let Part::View(view) = self.part else {
            return (!per_item || self.everything()).then_some(item);
        };
        if let Some(given) = given {
            item = item.given(view, &given.now);
        }
        item.base |= subscribed;
        if per_item {
            item.inside = item.base || item.later || (below && !self.alone);
            return item.inside.then_some(item);
        }
        Some(item)
    }

    /// Writes a structure's section and those below.
    pub(crate) fn structure<T: Structure>(
        &mut self,
        value: &T,
        slot: &StructSlot<T::Shadow>,
        mut scope: FullScope,
    ) {
        let ty = self.types.get(slot.type_no);
        if let Part::View(view) = self.part {
            if !scope.inside && !ty.views {
                return;
            }
            scope.below |= slot.inside.as_ref().is_some_and(|inside| inside.now.contains(view));
        }
        value.visit_ref(&slot.shadow, ty, &mut Fields { cx: self, owner: slot.ref_id, scope });
        if ty.nested {
            value.visit_ref(&slot.shadow, ty, &mut Below { cx: self, scope });
        }
    }

    /// Whether a field is written in this part.
    fn shows<F: Field>(&self, spec: &FieldSpec, value: &F, slot: &F::Slot, scope: FullScope) -> bool {
        let view = match self.part {
            Part::Everything => return true,
            Part::Shared => return spec.modifiers.view.is_none() && !hidden(spec),
            Part::View(view) => view,
        };
        if hidden(spec) {
            return false;
        }
        let Some(tag) = spec.modifiers.view else {
            return scope.inside;
        };
        if self.alone {
            return scope.sees(tag);
        }
        // The official full state announces the default-tagged collections of every structure with something
        // visible inside; empty ones tell nothing.
        scope.sees(tag)
            || (spec.per_item() && scope.below)
            || value.inside(slot).is_some_and(|inside| inside.now.contains(view))
    }
}

fn hidden(spec: &FieldSpec) -> bool {
    spec.modifiers.private || spec.modifiers.deprecated || spec.modifiers.patch_only
}

struct Fields<'a, 't> {
    cx: &'a mut Full<'t>,
    owner: u32,
    scope: FullScope,
}

impl VisitorRef for Fields<'_, '_> {
    fn field<F: Field>(&mut self, spec: &FieldSpec, value: &F, slot: &F::Slot) {
        let everything = self.cx.everything();
        let shown = self.cx.shows(spec, value, slot, self.scope);
        if shown && value.is_set() && (matches!(spec.kind, Kind::Prim(_)) || value.ref_id(slot) != NO_REF) {
            // A returning client may have another instance there, which only a deletion releases.
            let exchange = self.cx.form == FullForm::Rejoin && matches!(spec.kind, Kind::Struct(_));
            let code = if exchange { op::DELETE_AND_ADD } else { op::ADD };
            let out = self.cx.op(self.owner);
            out.push(code | spec.index);
            value.write(slot, spec, everything, out);
        } else if self.cx.deletes_unset() && !spec.modifiers.private && !spec.modifiers.patch_only {
            // In the view's part, only structures the shared part did not have.
            if self.cx.writes(self.scope) {
                self.cx.op(self.owner).push(op::DELETE | spec.index);
            }
        }
    }
}

struct Below<'a, 't> {
    cx: &'a mut Full<'t>,
    scope: FullScope,
}

impl VisitorRef for Below<'_, '_> {
    fn field<F: Field>(&mut self, spec: &FieldSpec, value: &F, slot: &F::Slot) {
        if matches!(spec.kind, Kind::Prim(_)) || value.ref_id(slot) == NO_REF {
            return;
        }
        let shown = self.cx.shows(spec, value, slot, self.scope);
        let mut scope = self.scope;
        if matches!(self.cx.part, Part::View(_)) {
            scope.inside = shown && (self.scope.inside || spec.modifiers.view.is_some());
            // Unfiltered structures may hold filtered fields further down.
            let passes = spec.modifiers.view.is_none() && spec.views_below && !hidden(spec);
            if !shown && !passes {
                return;
            }
            scope.below = false;
        } else if !shown {
            return;
        }
        value.full(slot, spec, scope, self.cx);
    }
}
