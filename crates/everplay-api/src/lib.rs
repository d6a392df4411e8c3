//! REST services beside the rooms: one error envelope, one set of limits, one API document.
//!
//! ```text
//! gateway -> Caller -> [request id, headers, panic, time] -> who asks -> limits -> CSRF -> service routers
//! ```
//!
//! A service is an [`OpenApiRouter`](utoipa_axum::router::OpenApiRouter) without state; [`Api`] puts services
//! together, wraps them in what all share, and serves the document made of them. Handlers take who asks from the
//! extractors [`Player`], [`MaybePlayer`] and [`Allowed`], and answer [`ApiError`] when they refuse.
//!
//! What is absent: rooms, sockets and the gateway. Whoever mounts the router tells it with a [`Caller`] extension what
//! the edge knows of a request; without one, the request is a stranger's from nowhere.

pub mod accounts;
pub mod auth;
pub mod boards;
mod caller;
mod csrf;
mod document;
mod error;
mod extract;
pub mod faq;
pub mod games;
mod headers;
mod identity;
pub mod levels;
pub mod line;
pub mod matchmaking;
mod rate;
mod router;
pub mod tickets;

pub use caller::Caller;
pub use document::{DOCUMENT_PATH, PAGE_PATH};
pub use error::{ApiError, ErrorBody, ErrorEnvelope, timestamp};
pub use extract::{Form, Json, Path, Query};
pub use identity::{Allowed, Authenticate, MaybePlayer, Need, Player, Rejected, Who, need};
pub use rate::{Limit, RatePolicy, Rates};
pub use router::{Api, Layers};

/// A future of a port: boxed, because ports are trait objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
