use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why a matchmaking request had no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens there, or the connection broke.
    #[error("cannot reach the server: {0}")]
    Connect(#[from] std::io::Error),
    /// The room name or the token cannot stand in a request.
    #[error("not a request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The answer is not HTTP.
    #[error("the server broke the request: {0}")]
    Exchange(#[from] hyper::Error),
    /// The answer's body broke off or is larger than any reservation.
    #[error("the answer's body cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// Reservations and errors have a few hundred bytes.
pub(crate) const MAX_BODY: usize = 64 << 10;

/// One request of JSON and its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) target: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) body: Vec<u8>,
    /// Bytes an answer may have.
    pub(crate) most: usize,
}

/// Sends a request on a connection of its own and returns status and body.
pub(crate) async fn exchange(exchange: Exchange<'_>) -> Result<(StatusCode, Bytes), HttpError> {
    let Exchange { method, authority, target, token, body, most } = exchange;
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::new(Bytes::from(body)))?;

    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await.map_err(HttpError::Body)?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end first, with the answer already read.
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.into()),
        },
    }
}
