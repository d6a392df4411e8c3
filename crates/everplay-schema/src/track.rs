//! What every collection remembers of itself: its refId, and who was shown something in it.

use crate::meta;
use crate::output::NO_REF;
use crate::restore::Load;
use crate::structure::{Change, Patch};
use crate::view::{Granted, Scope, ViewId, ViewSet};
use std::borrow::Cow;

/// What a structure remembers of a collection in one of its fields: the refId clients know there.
#[derive(Debug)]
pub struct CollectionSlot {
    known: u32,
    /// Views that were told of it because they see something inside.
    told: Option<Box<ViewSet>>,
}

impl Default for CollectionSlot {
    fn default() -> Self {
        CollectionSlot { known: NO_REF, told: None }
    }
}

impl CollectionSlot {
    /// Notes that clients are told `ref_id`; tells what that means to them.
    pub(crate) fn announce(&mut self, ref_id: u32) -> Change {
        match std::mem::replace(&mut self.known, ref_id) {
            known if known == ref_id => Change::None,
            NO_REF => Change::Set,
            _ => Change::Replace,
        }
    }

    pub(crate) fn told(&self) -> Option<&ViewSet> {
        self.told.as_deref()
    }

    /// Notes who was told of the collection.
    pub(crate) fn tell(&mut self, track: &Track) {
        match (&mut self.told, track.granted()) {
            (None, None) => {}
            (Some(told), Some(granted)) if **told == granted.seen => {}
            (told, granted) => *told = granted.map(|granted| Box::new(granted.seen.clone())),
        }
    }

    pub(crate) fn knows(&self, ref_id: u32) -> bool {
        self.known == ref_id && ref_id != NO_REF
    }
}

/// Visibility of a collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CollectionViews {
    /// Views that were shown an item, ever: they keep the (then empty) collection.
    pub(crate) granted: Granted,
    /// Views that see every item, present and future.
    pub(crate) subscribed: Granted,
}

#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) ref_id: u32,
    /// The replica the refId belongs to: a collection may be moved to another room.
    owner: u64,
    /// Introduced in the patch being encoded.
    pub(crate) fresh: bool,
    /// A stream's items wait for their turn.
    pub(crate) waiting: bool,
    views: Option<Box<CollectionViews>>,
}

impl Default for Track {
    fn default() -> Self {
        Track { ref_id: NO_REF, owner: 0, fresh: false, waiting: false, views: None }
    }
}

impl Track {
    /// Whether the collection is not the one clients know in this place: new, moved, or from another room.
    pub(crate) fn is_foreign(&self, slot: &CollectionSlot, cx: &Patch<'_>) -> bool {
        let known_here = slot.known == self.ref_id;
        self.ref_id == NO_REF || self.owner != cx.owner || !(known_here || self.fresh)
    }

    pub(crate) fn introduce(&mut self, cx: &mut Patch<'_>) {
        self.ref_id = cx.new_ref();
        self.owner = cx.owner;
        self.fresh = true;
        if let Some(views) = &mut self.views {
            views.granted.seen = ViewSet::EMPTY;
            views.subscribed.seen = ViewSet::EMPTY;
        }
    }

    pub(crate) fn visibility(&mut self) -> &mut CollectionViews {
        self.views.get_or_insert_default()
    }

    /// Shows the collection itself.
    pub(crate) fn grant(&mut self, view: ViewId) {
        self.visibility().granted.now.insert(view);
    }

    /// Views the collection itself was shown to, before and after.
    pub(crate) fn shown(&self) -> (ViewSet, ViewSet) {
        let granted = self.granted();
        granted.map_or((ViewSet::EMPTY, ViewSet::EMPTY), |set| (set.seen.clone(), set.now.clone()))
    }

    /// The scope of what is in the collection: its own where nothing follows, and with nobody who had it before in the
    /// patch that introduces it.
    pub(crate) fn scope<'a>(&self, outer: &'a Scope) -> Cow<'a, Scope> {
        let nobody = ViewSet::EMPTY;
        let scope = match (outer.alone, self.granted()) {
            (false, _) => Cow::Borrowed(outer),
            (true, Some(granted)) => Cow::Owned(outer.only(&granted.seen, &granted.now)),
            (true, None) => Cow::Owned(outer.only(&nobody, &nobody)),
        };
        if self.fresh && scope.old != scope.new {
            return Cow::Owned(Scope { old: scope.new.clone(), ..scope.into_owned() });
        }
        scope
    }

    /// Takes the collection itself back.
    pub(crate) fn revoke(&mut self, view: ViewId) {
        if let Some(views) = &mut self.views {
            views.granted.now.remove(view);
        }
    }

    /// Shows all items.
    pub(crate) fn subscribe(&mut self, view: ViewId) {
        self.grant(view);
        self.visibility().subscribed.now.insert(view);
    }

    pub(crate) fn unsubscribe(&mut self, view: ViewId) {
        if let Some(views) = &mut self.views {
            views.subscribed.now.remove(view);
        }
    }

    pub(crate) fn granted(&self) -> Option<&Granted> {
        self.views.as_ref().map(|views| &views.granted)
    }

    pub(crate) fn subscribed(&self) -> Option<&Granted> {
        self.views.as_ref().map(|views| &views.subscribed).filter(|set| **set != Granted::default())
    }

    /// Views that were granted something since the last patch, or all of them: unions are idempotent.
    pub(crate) fn newly_granted(&self) -> ViewSet {
        match &self.views {
            Some(views) if views.granted.now != views.granted.seen => views.granted.now.clone(),
            _ => ViewSet::EMPTY,
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.views.as_ref().is_none_or(|views| {
            views.granted.now == views.granted.seen && views.subscribed.now == views.subscribed.seen
        })
    }

    /// The patch has told everything.
    pub(crate) fn settle(&mut self, cx: &mut Patch<'_>) {
        cx.again |= self.waiting;
        if let Some(views) = &mut self.views {
            if views.granted.now != views.granted.seen {
                meta::granted(&mut cx.out.meta, self.ref_id, &views.granted.now);
                views.granted.seen = views.granted.now.clone();
            }
            if views.subscribed.now != views.subscribed.seen {
                meta::subscribed(&mut cx.out.meta, self.ref_id, &views.subscribed.now);
                views.subscribed.seen = views.subscribed.now.clone();
            }
        }
    }

    pub(crate) fn forget(&mut self, view: ViewId) {
        if let Some(views) = &mut self.views {
            views.granted.forget(view);
            views.subscribed.forget(view);
        }
    }

    pub(crate) fn meta(&self, out: &mut Vec<u8>) {
        if let Some(views) = &self.views {
            if !views.granted.now.is_empty() {
                meta::granted(out, self.ref_id, &views.granted.now);
            }
            if !views.subscribed.now.is_empty() {
                meta::subscribed(out, self.ref_id, &views.subscribed.now);
            }
        }
    }

    pub(crate) fn load(&mut self, ref_id: u32, cx: &mut Load<'_>) {
        self.ref_id = ref_id;
        self.owner = cx.owner();
        self.views = cx.collection_views(ref_id);
    }
}
