use crate::host::Command;
use crate::shelf::Shelf;
use everplay_room::Listing;
use everplay_types::{Epoch, RoomId, Seq};
use everplay_wire::InputOptions;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// The rooms of this node, and which of them take clients.
#[derive(Default)]
pub(crate) struct Registry {
    rooms: RwLock<HashMap<RoomId, Arc<RoomEntry>>>,
    /// Per kind, in order of creation: older rooms fill up first.
    open: RwLock<HashMap<Arc<str>, ByAge>>,
    next: AtomicU64,
    /// Told of every change, when there are other nodes to tell.
    news: OnceLock<mpsc::UnboundedSender<News>>,
}

/// A change in what this node runs.
pub(crate) enum News {
    /// A room's listing is new or changed, and durable.
    Listed(Arc<RoomEntry>),
    /// A room ended, was given up, or went to another node.
    Removed(Arc<RoomEntry>),
}

/// Rooms by the order of their creation.
type ByAge = BTreeMap<u64, Arc<RoomEntry>>;

/// One room as the rest of the node sees it.
pub(crate) struct RoomEntry {
    pub(crate) id: RoomId,
    pub(crate) kind: Arc<str>,
    /// Wall time in ms, for listings only.
    pub(crate) created_at: u64,
    pub(crate) filters: serde_json::Map<String, serde_json::Value>,
    pub(crate) mailbox: mpsc::Sender<Command>,
    /// Where inputs wait for the next step; none in rooms without a fixed step.
    pub(crate) shelf: Option<Arc<Shelf>>,
    pub(crate) messages_per_second: u32,
    pub(crate) inputs: InputOptions,
    /// Reservations asked for and not yet answered: counted so that a storm does not all run to one seat.
    pub(crate) asked: AtomicU32,
    /// Up to which record this node's own sockets were given everything.
    pub(crate) delivered: AtomicU64,
    /// The newest [`Reattach`](crate::host::Reattach) of this node's sockets that `delivered` counts for. Stored after it.
    pub(crate) reattached: AtomicU64,
    ordinal: u64,
    listing: Mutex<Listing>,
    /// Its first listing is durable: others may hear of it.
    listed: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Default, Clone)]
struct Progress {
    epoch: Epoch,
    seq: Seq,
    paused: Option<&'static str>,
}

/// A room as consoles and lobbies see it. Only durable facts.
#[derive(Debug, Clone, Serialize)]
pub struct RoomInfo {
    /// Its id.
    pub id: RoomId,
    /// Its kind's name.
    pub kind: String,
    /// What matchmaking knows of it.
    pub listing: Listing,
    /// Wall time of its creation in ms since 1970.
    pub created_at: u64,
    /// How often it changed owner.
    pub epoch: Epoch,
    /// Its last durable record.
    pub seq: Seq,
    /// Why it stands still, if it does.
    pub paused: Option<&'static str>,
}

/// What a new entry is made from.
pub(crate) struct NewRoom {
    pub(crate) id: RoomId,
    pub(crate) kind: Arc<str>,
    pub(crate) created_at: u64,
    pub(crate) filters: serde_json::Map<String, serde_json::Value>,
    pub(crate) mailbox: mpsc::Sender<Command>,
    pub(crate) shelf: Option<Arc<Shelf>>,
    pub(crate) messages_per_second: u32,
    pub(crate) inputs: InputOptions,
}

impl RoomEntry {
    pub(crate) fn listing(&self) -> Listing {
        self.listing.lock().clone()
    }

    pub(crate) fn set_progress(&self, epoch: Epoch, seq: Seq, paused: Option<&'static str>) {
        *self.progress.lock() = Progress { epoch, seq, paused };
    }

    fn has_place(&self) -> bool {
        let listing = self.listing.lock();
        listing.clients.saturating_add(self.asked.load(Ordering::Relaxed)) < listing.max_clients
    }

    /// Whether its first listing is durable: the room is live.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// Of the grant it is written under.
    pub(crate) fn epoch(&self) -> Epoch {
        self.progress.lock().epoch
    }

    /// Its last durable record.
    pub(crate) fn seq(&self) -> Seq {
        self.progress.lock().seq
    }

    fn info(&self) -> RoomInfo {
        let Progress { epoch, seq, paused } = self.progress.lock().clone();
        RoomInfo {
            id: self.id.clone(),
            kind: self.kind.to_string(),
            listing: self.listing(),
            created_at: self.created_at,
            epoch,
            seq,
            paused,
        }
    }
}

impl Registry {
    /// Tells `news` of every change from now on. The first call counts.
    pub(crate) fn watch(&self, news: mpsc::UnboundedSender<News>) {
        let _ = self.news.set(news);
    }

    fn tell(&self, news: News) {
        if let Some(listener) = self.news.get() {
            // A listener that went away belongs to a node that ends.
            let _ = listener.send(news);
        }
    }

    /// Enters a room; it is matched only once its first listing is durable.
    pub(crate) fn insert(&self, new: NewRoom) -> Arc<RoomEntry> {
        let entry = Arc::new(RoomEntry {
            id: new.id,
            kind: new.kind,
            created_at: new.created_at,
            filters: new.filters,
            mailbox: new.mailbox,
            shelf: new.shelf,
            messages_per_second: new.messages_per_second,
            inputs: new.inputs,
            asked: AtomicU32::new(0),
            delivered: AtomicU64::new(0),
            reattached: AtomicU64::new(0),
            ordinal: self.next.fetch_add(1, Ordering::Relaxed),
            listing: Mutex::new(Listing {
                clients: 0,
                max_clients: 0,
                locked: true,
                private: true,
                unlisted: true,
                metadata: serde_json::Value::Null,
            }),
            listed: AtomicBool::new(false),
            progress: Mutex::default(),
        });
        self.rooms.write().insert(entry.id.clone(), Arc::clone(&entry));
        entry
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<RoomEntry>> {
        self.rooms.read().get(id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.read().len()
    }

    pub(crate) fn list(&self, entry: &Arc<RoomEntry>, listing: Listing) {
        let joinable = !listing.locked && !listing.private;
        *entry.listing.lock() = listing;
        entry.listed.store(true, Ordering::Release);
        {
            let mut open = self.open.write();
            let of_kind = open.entry(Arc::clone(&entry.kind)).or_default();
            if joinable {
                of_kind.insert(entry.ordinal, Arc::clone(entry));
            } else {
                of_kind.remove(&entry.ordinal);
            }
        }
        self.tell(News::Listed(Arc::clone(entry)));
    }

    /// Forgets this entry; another one of the same room, made when the room came back here, stays.
    pub(crate) fn remove(&self, entry: &RoomEntry) {
        let removed = {
            let mut rooms = self.rooms.write();
            match rooms.get(&entry.id) {
                Some(known) if known.ordinal == entry.ordinal => rooms.remove(&entry.id),
                _ => None,
            }
        };
        if let Some(of_kind) = self.open.write().get_mut(&entry.kind) {
            of_kind.remove(&entry.ordinal);
        }
        if let Some(removed) = removed {
            self.tell(News::Removed(removed));
        }
    }

    /// The oldest room of the kind that takes a client with these filter values.
    pub(crate) fn candidate(
        &self,
        kind: &str,
        filters: &serde_json::Map<String, serde_json::Value>,
    ) -> Option<Arc<RoomEntry>> {
        let open = self.open.read();
        open.get(kind)?.values().find(|entry| entry.filters == *filters && entry.has_place()).cloned()
    }

    pub(crate) fn infos(&self) -> Vec<RoomInfo> {
        let mut infos: Vec<RoomInfo> = self.rooms.read().values().map(|entry| entry.info()).collect();
        infos.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        infos
    }

    pub(crate) fn paused(&self) -> usize {
        self.rooms.read().values().filter(|entry| entry.progress.lock().paused.is_some()).count()
    }

    /// All of them, oldest here first.
    pub(crate) fn entries(&self) -> Vec<Arc<RoomEntry>> {
        let mut entries: Vec<_> = self.rooms.read().values().cloned().collect();
        entries.sort_by_key(|entry| entry.ordinal);
        entries
    }
}
