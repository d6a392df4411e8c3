//! What an operator may set about the gateway. Plain data; what a program plugs in is in [`Parts`](crate::Parts).

use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Settings of the gateway. Every field has a default; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Address to listen on. Default 127.0.0.1: nothing is reachable from outside until someone says so.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one. Default 2567, the port Colyseus clients expect.
    pub port: u16,
    /// Connections the kernel holds until they are accepted. Default 8192: after a restart all players knock within
    /// a second. The system may cap it (`net.core.somaxconn`).
    pub backlog: u32,
    /// Networks whose `X-Forwarded-For` is believed, e.g. `["10.0.0.0/8"]`. Default none: the header is ignored.
    pub trusted_proxies: Vec<Network>,
    /// The bounds.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 2567,
            backlog: 8192,
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {problem}")]
pub struct InvalidOption {
    /// The setting, as it is written in a file, e.g. `limits.ack_ms`.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Options {
    /// Checks every setting. Errors: the first one that cannot be used.
    pub fn check(&self) -> Result<(), InvalidOption> {
        if self.backlog == 0 {
            return Err(InvalidOption { key: "backlog".into(), problem: "must be at least 1".into() });
        }
        self.limits.check().map_err(|(key, problem)| InvalidOption {
            key: format!("limits.{key}"),
            problem: problem.to_owned(),
        })
    }

    /// The address to bind.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// The address of the player: the nearest one in `X-Forwarded-For` that is not a proxy of ours, or the peer
    /// itself when the peer is not a trusted proxy.
    pub(crate) fn client_address(&self, peer: IpAddr, forwarded: Option<&str>) -> IpAddr {
        let mut address = peer.to_canonical();
        for hop in forwarded.unwrap_or_default().rsplit(',') {
            if !self.trusts(address) {
                break;
            }
            match hop.trim().parse::<IpAddr>() {
                Ok(hop) => address = hop.to_canonical(),
                Err(_) => break,
            }
        }
        address
    }

    /// Whether `address` is one of our proxies.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address.to_canonical()))
    }
}

/// A network: an address, and how many of its leading bits count. Written `10.0.0.0/8`, or as a bare address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    /// At most 32 for IPv4 and 128 for IPv6; checked when parsed.
    bits: u8,
}

impl Network {
    /// Whether `address` lies in this network. IPv4 and IPv6 never match each other.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

/// The text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a network such as 10.0.0.0/8")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| NotANetwork)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(widest);
        if bits > widest { Err(NotANetwork) } else { Ok(Network { address, bits }) }
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let mut options = Options::default();
        let peer = address("10.1.2.3");
        assert_eq!(options.client_address(peer, Some("1.2.3.4")), peer);
        options.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(options.client_address(peer, Some("1.2.3.4")), address("1.2.3.4"));
        // What a client writes itself stands left of what the proxy adds.
        assert_eq!(options.client_address(peer, Some("6.6.6.6, 1.2.3.4, 10.9.9.9")), address("1.2.3.4"));
        assert_eq!(options.client_address(peer, Some("nonsense")), peer);
        assert_eq!(options.client_address(address("::ffff:10.1.2.3"), Some("1.2.3.4")), address("1.2.3.4"));
        assert_eq!(options.client_address(address("8.8.8.8"), Some("1.2.3.4")), address("8.8.8.8"));
    }

    #[test]
    fn networks_are_checked() {
        for wrong in ["", "10.0.0.0/33", "::/129", "a/8", "10.0.0.0/"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong}");
        }
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(address("1.2.3.4")));
        assert!("::1".parse::<Network>().unwrap().contains(address("::1")));
        assert!(!"10.0.0.0/8".parse::<Network>().unwrap().contains(address("::1")));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let mut options = Options::default();
        assert_eq!(options.check(), Ok(()));
        options.limits.ack = std::time::Duration::ZERO;
        assert_eq!(options.check().unwrap_err().to_string(), "limits.ack_ms must be at least 1");
        let unknown = serde_json::from_str::<Options>(r#"{"limits":{"ack":1}}"#).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `ack`"), "{unknown}");
        let read: Options = serde_json::from_str(r#"{"limits":{"ack_ms":20}}"#).unwrap();
        assert_eq!(read.limits.ack, std::time::Duration::from_millis(20));
    }
}
