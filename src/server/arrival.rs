//! The way in of a message: what it has beyond its first bytes takes a share of the room that answers have, too, and holds
//! it as long as the call lasts. Counting calls does not bound memory: one message may be as large as a thousand others.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use prost::bytes::Bytes;

use crate::room::{Account, Share};

/// What every message may have without a share: most fit.
const FREE: usize = 16 * 1024;

/// What a call's message holds.
#[derive(Default)]
pub(crate) struct Arrived {
    share: Mutex<Option<Share>>,
    refused: AtomicBool,
}

impl Arrived {
    /// Whether there was no room for it.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn add(&self, more: Share) {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        match share.as_mut() {
            Some(share) => share.add(more),
            None => *share = Some(more),
        }
    }
}

/// A message on its way in.
pub(super) struct Arriving {
    body: Incoming,
    account: Account,
    arrived: Arc<Arrived>,
    free: usize,
}

impl Arriving {
    pub(super) fn new(body: Incoming, account: Account, arrived: Arc<Arrived>) -> Self {
        Self { body, account, arrived, free: FREE }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else { return Poll::Ready(None) };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let beyond = length.saturating_sub(self.free);
        self.free = self.free.saturating_sub(length);
        if beyond > 0 {
            let Some(share) = self.account.try_take(beyond) else {
                self.arrived.refused.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("there is no room for the message".into())));
            };
            self.arrived.add(share);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
