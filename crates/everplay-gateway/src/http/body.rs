//! A request body that ends with an error when it is too large or too slow, whoever reads it.
//!
//! What went wrong is also left in a [`Verdict`]: an application's handler may turn the error into any answer, and the
//! client should hear the true reason.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// Which bound a body ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Size,
    Time,
}

/// Where a body leaves the bound it ran into.
pub(super) type Verdict = Arc<OnceLock<Bound>>;

pub(super) struct BoundedBody {
    inner: Incoming,
    /// Bytes that may still come.
    left: u64,
    limit: Duration,
    /// Started at the first read that has to wait, so that requests without a body cost no timer.
    deadline: Option<Pin<Box<Sleep>>>,
    verdict: Verdict,
}

impl BoundedBody {
    pub(super) fn new(inner: Incoming, bytes: u32, limit: Duration, verdict: Verdict) -> Self {
        BoundedBody { inner, left: u64::from(bytes), limit, deadline: None, verdict }
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            let limit = self.limit;
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            ready!(deadline.as_mut().poll(cx));
            self.verdict.get_or_init(|| Bound::Time);
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        };
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(frame) => frame.map_err(BodyError::Broken),
        };
        let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(frame))
            }
            None => {
                self.verdict.get_or_init(|| Bound::Size);
                Poll::Ready(Some(Err(BodyError::TooLarge)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
