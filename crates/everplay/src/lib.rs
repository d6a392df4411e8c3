//! A multiplayer game server whose rooms survive the end of its process: what a game author depends on.
//!
//! ```text
//! App (room kinds) + Config (flag > environment > file > default) -> Running: gateway -> node -> stores
//! ```
//!
//! A room kind is a plain struct that derives `State` and implements `Room`; both, and all they need, are in the
//! [`prelude`]. An [`App`] names the kinds and runs the program: `serve`, `config`, `bench` and the other subcommands
//! come with it. `examples/hello` is a whole server.
//!
//! This crate is the only one that knows both the gateway (sockets) and the node (rooms); it joins them and holds no
//! rules of either.

mod app;
mod arena;
mod bench;
#[cfg(feature = "cluster")]
mod chaos;
mod chronicle;
mod cli;
mod cluster;
mod commands;
pub mod config;
mod counting;
mod ctl;
mod data_dir;
mod doors;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod error;
mod inside;
mod inspect;
mod leaderboard;
mod levels;
mod line;
mod logs;
mod pages;
mod pairing;
mod personal;
pub mod prelude;
mod rooms;
mod searches;
mod server;
mod services;
mod stores;
mod support;
mod tables;

pub use app::App;
pub use config::Config;
pub use error::{Error, Result};
pub use pages::{Page, Pages};
pub use server::{Running, Stopped};

pub use everplay_accounts as accounts;
pub use everplay_room as room;
pub use everplay_schema as schema;
pub use everplay_types as types;
pub use everplay_wire::msgpack;

/// The snippets of the guide compile, because they are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-a-room.md")]
struct Guide;
