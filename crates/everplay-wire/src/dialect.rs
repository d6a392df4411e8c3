use serde::{Deserialize, Serialize};

/// Which generation of SDKs a client belongs to. Nothing in its requests says so unless the endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dialect {
    /// `colyseus.js` 0.16, Defold, Construct 3.
    #[serde(rename = "0.16")]
    V16,
    /// `@colyseus/sdk` 0.17, Unity, Godot, GameMaker, Haxe, native C.
    #[serde(rename = "0.17")]
    V17,
    /// `@colyseus/sdk` 0.18.
    #[serde(rename = "0.18")]
    V18,
}

impl Dialect {
    /// The version as people write it: `0.16`, `0.17`, `0.18`.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::V16 => "0.16",
            Dialect::V17 => "0.17",
            Dialect::V18 => "0.18",
        }
    }

    /// Reads a version with or without the leading `0.`: `0.17`, `17`, `v17`, `0.17.43`.
    pub fn from_version(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.strip_prefix("0.").unwrap_or(text);
        match text.split('.').next() {
            Some("16") => Some(Dialect::V16),
            Some("17") => Some(Dialect::V17),
            Some("18") => Some(Dialect::V18),
            _ => None,
        }
    }

    /// What the endpoint given to the SDK says: a path that starts with `/v16`, `/v17` or `/v18`, or `proto=0.17` in
    /// the query. The SDKs keep both parts in every URL they make. The query wins, because it also survives when a
    /// reservation names another address.
    pub fn from_endpoint(path: &str, query: &str) -> Option<Self> {
        let asked =
            query.split('&').find_map(|pair| pair.strip_prefix("proto=")).and_then(Self::from_version);
        asked.or_else(|| Self::split_path(path).0)
    }

    /// Splits `/v17/matchmake/...` into the dialect and the path without that prefix.
    pub fn split_path(path: &str) -> (Option<Self>, &str) {
        let dialect = match path.get(..4) {
            Some("/v16") => Dialect::V16,
            Some("/v17") => Dialect::V17,
            Some("/v18") => Dialect::V18,
            _ => return (None, path),
        };
        match path.get(4..) {
            Some("") => (Some(dialect), "/"),
            Some(rest) if rest.starts_with('/') => (Some(dialect), rest),
            _ => (None, path),
        }
    }

    /// Whether the SDK knows PING.
    pub fn knows_ping(self) -> bool {
        self >= Dialect::V17
    }

    /// Whether the SDK knows requests, inputs and the modifier bits.
    pub fn knows_requests(self) -> bool {
        self >= Dialect::V18
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_says_it_by_path_or_query() {
        assert_eq!(Dialect::from_endpoint("/v17/matchmake/join/x", ""), Some(Dialect::V17));
        assert_eq!(Dialect::from_endpoint("/v16", ""), Some(Dialect::V16));
        assert_eq!(Dialect::from_endpoint("/v170/x", ""), None);
        assert_eq!(Dialect::from_endpoint("/p/r", "a=b&proto=0.17&sessionId=s"), Some(Dialect::V17));
        assert_eq!(Dialect::from_endpoint("/v18/p/r", "proto=0.16"), Some(Dialect::V16));
        assert_eq!(Dialect::from_endpoint("/p/r", "proto=0.19"), None);
        assert_eq!(Dialect::from_endpoint("/é/r", ""), None);
        assert_eq!(Dialect::split_path("/v17/matchmake/join/x"), (Some(Dialect::V17), "/matchmake/join/x"));
        assert_eq!(Dialect::split_path("/v18"), (Some(Dialect::V18), "/"));
    }
}
