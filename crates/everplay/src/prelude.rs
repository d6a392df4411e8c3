//! What a file with a room kind needs, in one line: `use everplay::prelude::*;`.

pub use everplay_room::{
    AuthRequest, Client, Context, Durability, InputMeta, InputSettings, Leave, Messages, OutboxFull, Refusal,
    Rewind, Room, Settings, TimerId,
};
pub use everplay_schema::derive::State;
pub use everplay_schema::{Child, Collection, List, Map, Set, Stream};
pub use everplay_schema_derive::FacadeState as State;
pub use everplay_types::{CloseCode, Millis, ServiceLevel, SessionId};
pub use serde::{Deserialize, Serialize};
pub use std::time::Duration;

/// Options that may be anything and are not looked at.
pub use serde::de::IgnoredAny as Anything;
