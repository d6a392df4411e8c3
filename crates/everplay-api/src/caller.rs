use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::any::Any;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// What the edge knows of a request, as an extension of it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The player's address; that of the nearest untrusted hop behind trusted proxies.
    pub ip: IpAddr,
    /// Names the request in logs and answers.
    pub request_id: Arc<str>,
    /// Kept by whoever turns the request into a WebSocket, for as long as that lives: by it the edge counts sockets.
    pub socket: Option<Arc<dyn Any + Send + Sync>>,
}

impl Caller {
    /// The part of the address that one household or one server has to itself: all of IPv4, the first half of IPv6.
    /// Limits count by it, because whoever has an IPv6 address has 2^64 of them.
    pub fn network(&self) -> String {
        network_of(self.ip)
    }

    pub(crate) fn stranger() -> Self {
        Caller {
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            request_id: Arc::from(format!("{:016x}", rand::random::<u64>())),
            socket: None,
        }
    }
}

/// As [`Caller::network`].
pub(crate) fn network_of(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::stranger))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_one_household_has() {
        let network =
            |ip: &str| Caller { ip: ip.parse().unwrap(), request_id: "r".into(), socket: None }.network();
        assert_eq!(network("10.1.2.3"), "10.1.2.3");
        assert_eq!(network("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }
}
