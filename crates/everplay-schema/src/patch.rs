//! Encodes what changed since the last patch.
//!
//! For every structure that may have changed: first its own operations, in field order (`Changes`), then the
//! sections of what is below (`Descend`). Structures that nothing touched are not entered: a nested struct is
//! compared field by field, a collection only looks at its touched entries.
//!
//! With views, each field has an audience before and after. Views in both get the change, views only in the new one
//! get the whole value, views only in the old one get a removal.

use crate::number::put_uint;
use crate::output::{Target, op};
use crate::structure::{Change, Field, Patch, StructSlot, Structure, Visitor, VisitorRef};
use crate::types::{FieldSpec, Kind, TypeNo, TypeTable};
use crate::view::{Granted, Reach, Scope, ViewId, ViewSet};

/// Appends a refId, with the TYPE_ID when the instance's type is not the declared one.
pub(crate) fn put_instance(out: &mut Vec<u8>, ref_id: u32, type_no: TypeNo, spec: &FieldSpec) {
    put_uint(out, ref_id);
    if spec.kind.struct_type().is_some_and(|declared| declared != type_no) {
        out.push(op::TYPE_ID);
        put_uint(out, u32::from(type_no));
    }
}

/// Gives refIds to a structure and everything below: depth first, in field order.
pub(crate) fn introduce<T: Structure>(value: &mut T, slot: &mut StructSlot<T::Shadow>, cx: &mut Patch<'_>) {
    struct Introduce<'a, 't>(&'a mut Patch<'t>);
    impl Visitor for Introduce<'_, '_> {
        fn field<F: Field>(&mut self, spec: &FieldSpec, value: &mut F, slot: &mut F::Slot) {
            if !matches!(spec.kind, Kind::Prim(_)) {
                value.introduce(slot, spec, self.0);
            }
        }
    }
    *slot = StructSlot { inside: slot.inside.take(), replaces: slot.replaces, ..StructSlot::default() };
    slot.type_no = value.type_no(cx.types);
    slot.ref_id = cx.new_ref();
    slot.fresh = true;
    let ty = cx.types.get(slot.type_no);
    if ty.nested {
        value.visit(&mut slot.shadow, ty, &mut Introduce(cx));
    }
}

/// Writes the section of a structure and those below it.
pub(crate) fn walk<T: Structure>(
    value: &mut T,
    slot: &mut StructSlot<T::Shadow>,
    scope: &Scope,
    cx: &mut Patch<'_>,
) {
    let fresh_scope;
    let scope = if slot.fresh && scope.old != scope.new {
        fresh_scope =
            Scope { old: scope.new.clone(), members_old: scope.members_new.clone(), ..scope.clone() };
        &fresh_scope
    } else {
        scope
    };
    let ty = cx.types.get(slot.type_no);
    let audience = scope.plain_audience();
    value.visit(&mut slot.shadow, ty, &mut Changes { owner: slot.ref_id, scope, audience, cx });
    if ty.nested {
        value.visit(&mut slot.shadow, ty, &mut Descend { scope, cx });
    }
    let fresh = std::mem::take(&mut slot.fresh);
    if let Some(inside) = &mut slot.inside
        && (fresh || inside.now != inside.seen)
    {
        if !(fresh && inside.now.is_empty()) {
            crate::meta::inside(&mut cx.out.meta, slot.ref_id, &inside.now);
        }
        inside.seen = inside.now.clone();
    }
}

/// The same for an instance without anything below it, whose audience is known to be the same before and after. `scope` is
/// that of the collection it is in. False: it is not that simple; nothing was written.
pub(crate) fn walk_plain<T: Structure>(
    value: &mut T,
    slot: &mut StructSlot<T::Shadow>,
    scope: &Scope,
    audience: &ViewSet,
    cx: &mut Patch<'_>,
) -> bool {
    let ty = cx.types.get(slot.type_no);
    if slot.fresh || slot.inside.is_some() || ty.nested || ty.views {
        return false;
    }
    let audience = Some(audience);
    value.visit(&mut slot.shadow, ty, &mut Changes { owner: slot.ref_id, scope, audience, cx });
    true
}

struct Changes<'a, 't> {
    owner: u32,
    scope: &'a Scope,
    /// See [`Scope::plain_audience`].
    audience: Option<&'a ViewSet>,
    cx: &'a mut Patch<'t>,
}

impl Visitor for Changes<'_, '_> {
    #[inline]
    fn field<F: Field>(&mut self, spec: &FieldSpec, value: &mut F, slot: &mut F::Slot) {
        let told = if spec.modifiers.view.is_some() { F::told(slot).cloned() } else { None };
        let change = value.poll(slot, spec, self.cx);
        let simple = spec.plain && matches!((&self.scope.old, &self.scope.new), (Reach::All, Reach::All));
        if let Some(audience) = self.audience
            && spec.modifiers.view.is_none()
            && !spec.unsent()
        {
            if change != Change::None {
                let to = Target::Views { audience, journal: true };
                put_change(change, spec, value, slot, to, self.owner, self.cx);
            }
        } else if simple && !self.scope.private {
            if change != Change::None {
                put_change(change, spec, value, slot, Target::Shared, self.owner, self.cx);
            }
        } else {
            self.filtered(change, told, spec, value, slot);
        }
    }
}

impl Changes<'_, '_> {
    fn filtered<F: Field>(
        &mut self,
        change: Change,
        told: Option<ViewSet>,
        spec: &FieldSpec,
        value: &mut F,
        slot: &mut F::Slot,
    ) {
        let owner = self.owner;
        if self.scope.private || spec.unsent() {
            if change != Change::None {
                put_change(change, spec, value, slot, Target::Private, owner, self.cx);
            }
            return;
        }
        let (old, new) = audience(spec, self.scope, told.as_ref(), value.inside(slot));
        let shown = self.scope.alone.then(|| value.shown());
        let (later_old, later_new) = self.scope.later(spec);
        let cx = &mut *self.cx;
        let (Reach::Views(old), Reach::Views(new)) = (&old, &new) else {
            if change != Change::None {
                put_change(change, spec, value, slot, Target::Shared, owner, cx);
            }
            return;
        };
        // Where something inside was shown, the field leading there is sent at once.
        let (led, leads) = match (shown, value.inside(slot)) {
            (Some((old, new)), _) => (ViewSet::EMPTY, new.difference(&old)),
            (None, Some(inside)) => (told.unwrap_or_default(), inside.now.clone()),
            (None, None) => (ViewSet::EMPTY, ViewSet::EMPTY),
        };
        let kept = old.intersection(new).union(&later_new);
        let had = old.difference(&later_old.difference(&led));
        let gained = new.difference(&later_new.difference(&leads)).difference(&had);
        let gained = if self.scope.alone { gained.union(&self.scope.new.and(&leads)) } else { gained };
        let (old, new) = (&old.union(&later_old), &new.union(&later_new));
        match change {
            Change::None => {}
            // Views that lose the field with this patch lose it by the same operation.
            Change::Unset => {
                let to = Target::Views { audience: old, journal: true };
                put_change(change, spec, value, slot, to, owner, cx);
                return;
            }
            _ => {
                let to = Target::Views { audience: &kept, journal: true };
                put_change(change, spec, value, slot, to, owner, cx);
            }
        }
        if !value.is_set() {
            return;
        }
        if !gained.is_empty() {
            let out = cx.out.op(Target::Views { audience: &gained, journal: false }, owner);
            out.push(op::ADD | spec.index);
            value.write(slot, spec, false, out);
        }
        let lost = old.difference(new);
        // A structure that is lost as a whole is removed by its parent.
        let lost = match &self.scope.new {
            Reach::All => lost,
            Reach::Views(still) => lost.intersection(still),
        };
        if !lost.is_empty() {
            cx.out.op(Target::Views { audience: &lost, journal: false }, owner).push(op::DELETE | spec.index);
        }
    }
}

#[inline]
fn put_change<F: Field>(
    change: Change,
    spec: &FieldSpec,
    value: &F,
    slot: &F::Slot,
    target: Target<'_>,
    owner: u32,
    cx: &mut Patch<'_>,
) {
    let private = matches!(target, Target::Private);
    let out = cx.out.op(target, owner);
    match change {
        Change::None => {}
        Change::Set => {
            out.push(op::ADD | spec.index);
            value.write(slot, spec, private, out);
        }
        Change::Replace => {
            out.push(op::DELETE_AND_ADD | spec.index);
            value.write(slot, spec, private, out);
        }
        Change::Unset => out.push(op::DELETE | spec.index),
    }
    // The journal must hold what the room holds, not what clients read.
    if !private && change != Change::Unset && value.rounded(spec) {
        let out = cx.out.op(Target::Private, owner);
        out.push(op::ADD | spec.index);
        value.write(slot, spec, true, out);
    }
}

/// Who has a field, before and after this patch.
fn audience(
    spec: &FieldSpec,
    scope: &Scope,
    told: Option<&ViewSet>,
    inside: Option<&Granted>,
) -> (Reach, Reach) {
    let Some(tag) = spec.modifiers.view else {
        return (scope.old.clone(), scope.new.clone());
    };
    let mut old = scope.members_old.audience(tag);
    let mut new = scope.members_new.audience(tag);
    if scope.alone {
        return (Reach::Views(scope.old.and(&old)), Reach::Views(scope.new.and(&new)));
    }
    if let Some(told) = told {
        old = old.union(told);
    }
    if let Some(inside) = inside {
        new = new.union(&inside.now);
    }
    (Reach::Views(scope.old.and(&old)), Reach::Views(scope.new.and(&new)))
}

struct Descend<'a, 't> {
    scope: &'a Scope,
    cx: &'a mut Patch<'t>,
}

impl Visitor for Descend<'_, '_> {
    fn field<F: Field>(&mut self, spec: &FieldSpec, value: &mut F, slot: &mut F::Slot) {
        if matches!(spec.kind, Kind::Prim(_)) {
            return;
        }
        if self.scope.private || spec.unsent() {
            return value.descend(slot, spec, &Scope::PRIVATE, self.cx);
        }
        if spec.modifiers.view.is_none() {
            return value.descend(slot, spec, self.scope, self.cx);
        }
        let (old, new) = if self.scope.alone {
            let (old, new) = value.shown();
            (Reach::Views(self.scope.old.and(&old)), Reach::Views(self.scope.new.and(&new)))
        } else {
            audience(spec, self.scope, F::told(slot), value.inside(slot))
        };
        let below = Scope { old, new, ..self.scope.clone() };
        value.descend(slot, spec, &below, self.cx);
    }
}

/// Passes upwards which views were shown something below; returns all of them.
pub(crate) fn settle<T: Structure>(
    value: &mut T,
    slot: &mut StructSlot<T::Shadow>,
    types: &TypeTable,
) -> ViewSet {
    struct Settle<'t> {
        types: &'t TypeTable,
        all: ViewSet,
    }
    impl Visitor for Settle<'_> {
        fn field<F: Field>(&mut self, spec: &FieldSpec, value: &mut F, slot: &mut F::Slot) {
            if spec.views_below || spec.per_item() {
                let views = value.settle(slot, spec, self.types);
                if !views.is_empty() {
                    self.all = self.all.union(&views);
                }
            }
        }
    }
    let no = value.type_no(types);
    if !types.get(no).views {
        return ViewSet::EMPTY;
    }
    let mut visitor = Settle { types, all: ViewSet::EMPTY };
    value.visit(&mut slot.shadow, types.get(no), &mut visitor);
    slot.grant(&visitor.all);
    visitor.all
}

/// Removes a view from all visibility below.
pub(crate) fn forget<T: Structure>(
    value: &mut T,
    slot: &mut StructSlot<T::Shadow>,
    view: ViewId,
    types: &TypeTable,
) {
    struct Forget<'t> {
        types: &'t TypeTable,
        view: ViewId,
    }
    impl Visitor for Forget<'_> {
        fn field<F: Field>(&mut self, spec: &FieldSpec, value: &mut F, slot: &mut F::Slot) {
            if spec.views_below || spec.per_item() {
                value.forget(slot, spec, self.view, self.types);
            }
        }
    }
    if let Some(inside) = &mut slot.inside {
        inside.forget(view);
    }
    let no = value.type_no(types);
    value.visit(&mut slot.shadow, types.get(no), &mut Forget { types, view });
}

/// Whether something below waits for the next patch.
pub(crate) fn is_dirty<T: Structure>(value: &T, slot: &StructSlot<T::Shadow>, types: &TypeTable) -> bool {
    struct Dirty<'t> {
        types: &'t TypeTable,
        found: bool,
    }
    impl VisitorRef for Dirty<'_> {
        fn field<F: Field>(&mut self, spec: &FieldSpec, value: &F, slot: &F::Slot) {
            self.found = self.found || value.is_dirty(slot, spec, self.types);
        }
    }
    let mut visitor = Dirty { types, found: false };
    value.visit_ref(&slot.shadow, types.get(slot.type_no), &mut visitor);
    visitor.found
}

/// The scope of an item of a collection. `members` is what views were given on the item before and after, and
/// `extra` who else has it (subscribers, views shown something inside).
pub(crate) fn item_scope(
    per_item: bool,
    scope: &Scope,
    given: Option<&crate::view::Visibility>,
    extra: [Option<&Granted>; 2],
) -> Scope {
    let (mut members_old, mut members_new) = match given {
        Some(given) => (given.seen.clone(), given.now.clone()),
        None => (crate::view::Members::EMPTY, crate::view::Members::EMPTY),
    };
    let [subscribed, inside] = extra;
    if let Some(subscribed) = subscribed {
        members_old.base = members_old.base.union(&subscribed.seen);
        members_new.base = members_new.base.union(&subscribed.now);
    }
    if !per_item && scope.alone {
        return Scope { members_old, members_new, ..scope.clone() };
    }
    if !per_item {
        // Where only some see the collection, being shown what it is in is being shown its items.
        if matches!(scope.old, Reach::Views(_)) {
            members_old.base = members_old.base.union(&scope.members_old.base);
        }
        if matches!(scope.new, Reach::Views(_)) {
            members_new.base = members_new.base.union(&scope.members_new.base);
        }
        return Scope { members_old, members_new, ..scope.clone() };
    }
    let mut old = members_old.all();
    let mut new = members_new.all();
    let inside = inside.filter(|_| !scope.alone);
    if let Some(inside) = inside {
        old = old.union(&inside.seen);
        new = new.union(&inside.now);
    }
    Scope {
        old: Reach::Views(scope.old.narrow(old)),
        new: Reach::Views(scope.new.narrow(new)),
        members_old,
        members_new,
        private: scope.private,
        alone: scope.alone,
    }
}
