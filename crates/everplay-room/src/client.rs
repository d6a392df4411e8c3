use everplay_schema::ViewId;
use everplay_types::SessionId;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A session in this room, as hooks see it. Cheap to clone; equal when the session is.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    session_id: SessionId,
    view: Option<ViewId>,
    auth: serde_json::Value,
}

impl Client {
    pub(crate) fn new(session_id: SessionId, view: Option<ViewId>, auth: serde_json::Value) -> Self {
        Self(Arc::new(Inner { session_id, view, auth }))
    }

    /// The session: stays the same over reconnects and restarts.
    pub fn session_id(&self) -> &SessionId {
        &self.0.session_id
    }

    /// What this client sees beyond what all see.
    ///
    /// Panics when the room's state has no filtered field, which is a mistake of the room's author:
    /// there is nothing to show or hide.
    pub fn view(&self) -> ViewId {
        self.0.view.expect("a room that shows or hides has a field marked #[state(view)]")
    }

    pub(crate) fn view_id(&self) -> Option<ViewId> {
        self.0.view
    }

    /// What the auth hook returned, as JSON.
    pub fn auth(&self) -> &serde_json::Value {
        &self.0.auth
    }

    /// Whether it is a node of the server, as the auth hook said with
    /// [`AuthRequest::identity_json`](crate::AuthRequest::identity_json).
    pub fn is_node(&self) -> bool {
        self.0.auth == crate::kind::NODE
    }

    /// What the auth hook returned, as a type; None when it does not fit.
    pub fn auth_as<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(&self.0.auth).ok()
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.0.session_id == other.0.session_id
    }
}

impl Eq for Client {}
