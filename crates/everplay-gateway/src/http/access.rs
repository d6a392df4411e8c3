//! One log line for each answered request, under the target `access`.
//!
//! It holds the method, the route as it is declared, the status, the time it took, the request's id and the network it came from.
//! Never the path or the query: rooms, sessions and tokens stand there.

use super::error::RequestId;
use crate::metrics::Route;
use axum::extract::MatchedPath;
use axum::http::{Method, Response};
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

/// The target, for `EVERPLAY_LOG`.
const TARGET: &str = "access";

/// A request on its way; None where nobody reads of it.
pub(super) struct Access {
    method: Method,
    began: Instant,
    ip: IpAddr,
}

impl Access {
    /// Costs a look at a flag when the lines are switched off. `ip` is the player's.
    pub(super) fn begin(method: &Method, ip: impl FnOnce() -> IpAddr) -> Option<Self> {
        tracing::enabled!(target: TARGET, tracing::Level::INFO).then(|| Self {
            method: method.clone(),
            began: Instant::now(),
            ip: ip(),
        })
    }

    pub(super) fn end<B>(self, route: Route, id: &RequestId, response: &Response<B>) {
        let declared = response.extensions().get::<MatchedPath>();
        let status = response.status();
        // What machines ask all the time, and pages with all their files, are told to who looks closely.
        let often = match route {
            Route::Health | Route::Metrics | Route::Preflight => true,
            Route::App => declared.is_none(),
            Route::Matchmake | Route::Upgrade => false,
        };
        let route = declared.map_or(route.label(), MatchedPath::as_str);
        let (status, network) = (status.as_u16(), Network(self.ip));
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if often && status < 500 {
            tracing::debug!(target: TARGET, method = %self.method, route, status, ms, request.id = %id, %network, "answered");
        } else {
            tracing::info!(target: TARGET, method = %self.method, route, status, ms, request.id = %id, %network, "answered");
        }
    }
}

/// What one household has of an address: all of IPv4, the first half of IPv6.
struct Network(IpAddr);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                write!(f, "{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}
