//! The body of a request: its announced or received bytes beyond the first ones take a share of the memory for responses,
//! and hold it as long as the call lasts. A limit on calls does not bound memory: one message can be as large as a thousand
//! others.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use prost::bytes::Bytes;

use credvault_operations::room::{Account, Share};

/// The largest request, in bytes.
pub(crate) const MAX_REQUEST: usize = 256 * 1024;
/// The bytes that every message has without a share; most messages need no more.
const FREE_BYTES: usize = 16 * 1024;
/// The prefix of a message: a byte for compression, and its length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
const PREFIX_BYTES: usize = 5;

/// The share that a call's message holds.
#[derive(Default)]
pub(crate) struct Arrived {
    share: Mutex<Option<Share>>,
    refused: AtomicBool,
}

impl Arrived {
    /// Whether there was no memory for the message.
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

/// A message that is being received.
pub(super) struct Arriving {
    body: Incoming,
    account: Account,
    arrived: Arc<Arrived>,
    size: Size,
}

impl Arriving {
    pub(super) fn new(body: Incoming, account: Account, arrived: Arc<Arrived>) -> Self {
        Self { body, account, arrived, size: Size::default() }
    }

    /// Takes a share for received bytes. Returns whether there was memory.
    fn admit(&mut self, data: &[u8]) -> bool {
        let more = self.size.grow(data);
        if more == 0 {
            return true;
        }
        self.account.try_take(more).map(|share| self.arrived.add(share)).is_some()
    }
}

/// The size of a message, as far as it is known.
#[derive(Default)]
struct Size {
    prefix: [u8; PREFIX_BYTES],
    seen: usize,
    counted: usize,
}

impl Size {
    /// How many bytes more need a share once `data` has arrived. The announced length counts at once, because the decoder
    /// reserves that much.
    fn grow(&mut self, data: &[u8]) -> usize {
        self.prefix.iter_mut().skip(self.seen).zip(data).for_each(|(place, byte)| *place = *byte);
        self.seen += data.len();
        let [_, a, b, c, d] = self.prefix;
        let said = if self.seen < PREFIX_BYTES { 0 } else { u32::from_be_bytes([a, b, c, d]) as usize };
        // The decoder refuses a message that announces more.
        let said = if said > MAX_REQUEST { 0 } else { said + PREFIX_BYTES };
        let beyond = self.seen.max(said).saturating_sub(FREE_BYTES);
        let more = beyond.saturating_sub(self.counted);
        self.counted += more;
        more
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
        if frame.data_ref().is_some_and(|data| !self.admit(data)) {
            self.arrived.refused.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err("there is no memory for the message".into())));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that each part of a message takes.
    fn taken(parts: &[&[u8]]) -> Vec<usize> {
        let mut size = Size::default();
        parts.iter().map(|part| size.grow(part)).collect()
    }

    #[test]
    fn what_a_message_says_that_it_will_have_counts_before_it_is_there() {
        let said = 200_000_u32.to_be_bytes();
        let beyond = 200_000 + PREFIX_BYTES - FREE_BYTES;
        assert_eq!(taken(&[&[0, said[0], said[1], said[2], said[3]], &[1; 7]]), [beyond, 0]);
        assert_eq!(taken(&[&[0], &said[..2], &said[2..], &vec![1; 200_000]]), [0, 0, beyond, 0]);
        // Bytes beyond the announced length, or beyond the limit of the decoder, count as they arrive.
        assert_eq!(taken(&[&[0; PREFIX_BYTES], &[1; FREE_BYTES]]), [0, PREFIX_BYTES]);
        let much = u32::MAX.to_be_bytes();
        assert_eq!(taken(&[&[0, much[0], much[1], much[2], much[3]], &[1; FREE_BYTES]]), [0, PREFIX_BYTES]);
        assert_eq!(taken(&[&[0, 0, 0, 0, 9], &[1; 9]]), [0, 0]);
    }
}
