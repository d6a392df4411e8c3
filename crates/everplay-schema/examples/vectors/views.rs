//! What the official encoder notes per view while a case calls `view.add` and the like.
//!
//! It keeps one bit per structure and view (*visible*), tag bits per structure and view, and a list of subscribed
//! collections. `add` sets the bits of the structure, of everything above it and of what it holds at that moment;
//! later a structure without a tag of its own takes the bit over from a filtered parent. Bits are kept for what is
//! not in the tree. The state a view is sent follows from the bits alone.

use std::collections::{HashMap, HashSet};

type Id = usize;

/// The graph, as far as visibility depends on it.
pub(crate) trait Graph {
    /// What holds a structure, and the tag of the field it is in (that of the collection for items).
    fn parent(&self, of: Id) -> Option<Parent>;
    /// Structures held, with the tag of the field they are in; items of collections have none.
    fn held(&self, of: Id) -> Vec<(Option<i64>, Id)>;
    /// A struct, and not a collection.
    fn is_struct(&self, of: Id) -> bool;
    /// A collection of primitives.
    fn is_primitive(&self, of: Id) -> bool;
    /// A stream, whose items take turns.
    fn is_stream(&self, of: Id) -> bool;
}

/// The way up from a structure.
pub(crate) struct Parent {
    pub(crate) id: Id,
    /// The parent is a collection.
    pub(crate) collection: bool,
    /// The tag of the field, or of the field that holds the collection.
    pub(crate) tag: Option<i64>,
}

/// The default tag.
pub(crate) const DEFAULT: i64 = -1;

/// One view's bits.
#[derive(Default)]
pub(crate) struct Seen {
    visible: HashSet<Id>,
    /// Visible only because something inside is: what they hold was not sent.
    above: HashSet<Id>,
    /// Visible since what they are in is: patches tell of them no earlier than they are added.
    latent: HashSet<Id>,
    /// What the view was sent with the last patch.
    sent: HashSet<Id>,
    tags: HashMap<Id, u32>,
    /// Subscribed collections with the items they had.
    subscribed: HashMap<Id, HashSet<Id>>,
}

impl Seen {
    pub(crate) fn is_visible(&self, object: Id) -> bool {
        self.visible.contains(&object)
    }

    /// Visible only for what is inside.
    pub(crate) fn is_above(&self, object: Id) -> bool {
        self.above.contains(&object)
    }

    /// Visible, but patches do not tell.
    pub(crate) fn is_latent(&self, object: Id) -> bool {
        self.latent.contains(&object)
    }

    pub(crate) fn tags(&self, object: Id) -> u32 {
        self.tags.get(&object).copied().unwrap_or(0)
    }

    /// `view.add`
    pub(crate) fn add(&mut self, graph: &impl Graph, object: Id, tag: i64) {
        self.add_above(graph, object, tag);
        self.add_held(graph, object, tag);
    }

    fn add_held(&mut self, graph: &impl Graph, object: Id, tag: i64) {
        self.reveal(object);
        if graph.is_stream(object) {
            return;
        }
        if tag != DEFAULT {
            *self.tags.entry(object).or_default() |= tag as u32;
        }
        for (field, held) in graph.held(object) {
            if field.is_none_or(|field| field == DEFAULT || shares(field, tag)) {
                self.add_held(graph, held, tag);
            }
        }
    }

    fn add_above(&mut self, graph: &impl Graph, object: Id, tag: i64) {
        let Some(parent) = graph.parent(object) else { return };
        if self.visible.insert(parent.id) || self.latent.remove(&parent.id) {
            self.above.insert(parent.id);
        }
        self.add_above(graph, parent.id, tag);
        if !parent.collection && parent.tag.is_some_and(|field| shares(field, tag)) {
            *self.tags.entry(parent.id).or_default() |= tag as u32;
        }
    }

    /// `view.remove`
    pub(crate) fn remove(&mut self, graph: &impl Graph, object: Id, tag: i64) {
        self.visible.remove(&object);
        let parent = graph.parent(object);
        if tag == DEFAULT && parent.is_some_and(|parent| parent.collection) && is_filtered(graph, object) {
            self.sent.remove(&object);
            self.remove_held(graph, object);
        } else {
            for (field, held) in graph.held(object) {
                if field.is_some_and(|field| tag == DEFAULT || shares(field, tag)) {
                    self.visible.remove(&held);
                    self.remove_held(graph, held);
                }
            }
        }
        // Without a tag the official encoder keeps the tag bits.
        if tag != DEFAULT
            && let Some(tags) = self.tags.get_mut(&object)
        {
            *tags &= !(tag as u32);
        }
    }

    fn remove_held(&mut self, graph: &impl Graph, object: Id) {
        for (_, held) in graph.held(object) {
            self.visible.remove(&held);
            self.remove_held(graph, held);
        }
    }

    /// `view.subscribe`
    pub(crate) fn subscribe(&mut self, graph: &impl Graph, collection: Id) {
        if self.subscribed.contains_key(&collection) {
            return;
        }
        let items: HashSet<Id> = graph.held(collection).into_iter().map(|(_, item)| item).collect();
        if self.visible.contains(&collection) || graph.parent(collection).is_none() {
            self.reveal(collection);
            let one_by_one = graph.parent(collection).is_some_and(|parent| parent.tag == Some(DEFAULT));
            for item in &items {
                if one_by_one {
                    self.reveal(*item);
                } else if self.visible.insert(*item) {
                    let filtered = is_filtered(graph, *item);
                    if filtered { &mut self.latent } else { &mut self.above }.insert(*item);
                }
            }
        } else {
            self.add(graph, collection, DEFAULT);
        }
        self.subscribed.insert(collection, items);
    }

    /// The patch is made.
    pub(crate) fn settle(&mut self) {
        self.sent = self.visible.difference(&self.latent).copied().collect();
    }

    /// Before a patch: what is new to everyone is sent.
    pub(crate) fn introduce(&mut self, known: &HashSet<Id>) {
        self.latent.retain(|object| known.contains(object));
    }

    fn reveal(&mut self, object: Id) {
        self.latent.remove(&object);
        self.visible.insert(object);
        self.above.remove(&object);
    }

    /// `view.unsubscribe`
    pub(crate) fn unsubscribe(&mut self, graph: &impl Graph, collection: Id) {
        if self.subscribed.remove(&collection).is_some() {
            self.visible.remove(&collection);
            for (_, item) in graph.held(collection) {
                self.visible.remove(&item);
            }
        }
    }

    /// After a mutation: what came into subscribed collections is visible.
    pub(crate) fn follow(&mut self, graph: &impl Graph) {
        for (collection, known) in &mut self.subscribed {
            let items: HashSet<Id> = graph.held(*collection).into_iter().map(|(_, item)| item).collect();
            for item in items.difference(known) {
                self.visible.insert(*item);
                self.above.remove(item);
            }
            *known = items;
        }
    }

    /// Before a patch: structures take over from what they are in, from the root down.
    pub(crate) fn inherit(&mut self, graph: &impl Graph, object: Id, known: &HashSet<Id>) {
        for (_, held) in graph.held(object) {
            if self.visible.contains(&object) && shares_visibility(graph, held) && self.visible.insert(held) {
                self.above.remove(&held);
                if !graph.is_struct(object) && known.contains(&held) && !self.sent.contains(&held) {
                    self.latent.insert(held);
                }
            }
            self.inherit(graph, held, known);
        }
    }
}

fn shares(field: i64, tag: i64) -> bool {
    field != DEFAULT && tag != DEFAULT && field & tag != 0
}

/// Whether a structure is reached only through tagged fields.
fn is_filtered(graph: &impl Graph, object: Id) -> bool {
    let Some(parent) = graph.parent(object) else { return false };
    parent.tag.is_some()
        || graph.is_stream(parent.id)
        || graph.is_stream(object)
        || is_filtered(graph, parent.id)
}

fn shares_visibility(graph: &impl Graph, object: Id) -> bool {
    let Some(parent) = graph.parent(object) else { return false };
    let stream = graph.is_stream(parent.id) || graph.is_stream(object);
    let tagged = parent.tag.is_some() && !(parent.collection && parent.tag != Some(DEFAULT));
    is_filtered(graph, parent.id)
        && (graph.is_struct(object) || !graph.is_primitive(object))
        && !stream
        && !tagged
}
