use crate::http::{Exchange, HttpError, exchange};
use bytes::Bytes;
use std::str::FromStr;

/// Where the server is: `http://host[:port][/path][?query]`. Path and query go into every request, as with the SDKs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port, for the socket and the Host header.
    pub(crate) authority: String,
    /// Without a slash at its end.
    path: String,
    query: String,
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Only `http://` and `ws://`: this client has no TLS.
    #[error("an endpoint starts with http:// or ws://")]
    Scheme,
    /// Nothing between the scheme and the path.
    #[error("the endpoint has no host")]
    Host,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("ws://"));
        let rest = rest.ok_or(EndpointError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.is_empty() {
            return Err(EndpointError::Host);
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority, path: path.trim_end_matches('/').to_owned(), query: query.to_owned() })
    }
}

impl Endpoint {
    /// Asks something else of the server than rooms: one request of JSON on a connection of its own, for tools. Answers
    /// the status and the body, of which at most `most` bytes are taken.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Vec<u8>,
        most: usize,
    ) -> Result<(u16, Bytes), HttpError> {
        let target = format!("{}{path}", self.path);
        let request = Exchange { method, authority: &self.authority, target: &target, token, body, most };
        let (status, body) = exchange(request).await?;
        Ok((status.as_u16(), body))
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query of a matchmaking request.
    pub(crate) fn matchmake(&self, method: &str, name: &str) -> String {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("{}/matchmake/{method}/{name}{query}", self.path)
    }

    /// The URL of a WebSocket to `/{process}/{room}?{query}`; the endpoint's own query comes first. A public address of
    /// the reservation replaces host, port and path.
    pub(crate) fn websocket(
        &self,
        public_address: Option<&str>,
        path: &str,
        query: &str,
    ) -> (String, String) {
        let (authority, prefix) = match public_address {
            Some(address) => {
                let (host, prefix) = address.split_at(address.find('/').unwrap_or(address.len()));
                let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
                (host, prefix.trim_end_matches('/').to_owned())
            }
            None => (self.authority.clone(), self.path.clone()),
        };
        let own = if self.query.is_empty() { String::new() } else { format!("{}&", self.query) };
        let url = format!("ws://{authority}{prefix}{path}?{own}{query}");
        (authority, url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_go_into_every_request() {
        let endpoint: Endpoint = "http://127.0.0.1:2567/v17/?proto=0.17".parse().unwrap();
        assert_eq!(endpoint.matchmake("join", "x"), "/v17/matchmake/join/x?proto=0.17");
        let (host, url) = endpoint.websocket(None, "/p/r", "sessionId=s");
        assert_eq!(host, "127.0.0.1:2567");
        assert_eq!(url, "ws://127.0.0.1:2567/v17/p/r?proto=0.17&sessionId=s");
        let (host, url) = endpoint.websocket(Some("game.example/eu"), "/p/r", "sessionId=s");
        assert_eq!(host, "game.example:80");
        assert_eq!(url, "ws://game.example:80/eu/p/r?proto=0.17&sessionId=s");
        let plain: Endpoint = "ws://localhost".parse().unwrap();
        assert_eq!(plain.authority, "localhost:80");
        assert_eq!("https://x".parse::<Endpoint>(), Err(EndpointError::Scheme));
        assert_eq!("http:///x".parse::<Endpoint>(), Err(EndpointError::Host));
    }
}
