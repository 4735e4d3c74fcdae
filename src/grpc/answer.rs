//! The body of a response: its bytes hold their share of memory until they are sent or dropped, and a client that leaves a
//! response unread for too long loses its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use http_body::{Frame, SizeHint};
use prost::bytes::{Buf, Bytes};
use tonic::Status;
use tonic::body::Body;

use credvault_operations::room::{Account, Share};

/// The responses that a connection has not sent yet.
///
/// Time is cut into turns, and each response counts in the turn in which it began. At the end of a turn, no response of
/// the turn before may be left: it would have waited for at least one turn and at most two. That costs two additions for
/// each response, and no timer.
#[derive(Default)]
pub(super) struct Unsent {
    turn: AtomicUsize,
    begun: [AtomicUsize; 3],
}

impl Unsent {
    fn begin(&self) -> usize {
        let turn = self.turn.load(Ordering::Relaxed) % 3;
        self.begun[turn].fetch_add(1, Ordering::Relaxed);
        turn
    }

    fn end(&self, turn: usize) {
        self.begun[turn].fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends the turn. Returns whether a response of the turn before is left.
    fn is_overdue(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        // The new turn reuses the counter of the turn before the last. It is zero, or the connection would have ended.
        self.turn.store(turn.wrapping_add(1) % 3, Ordering::Relaxed);
        self.begun[(turn + 2) % 3].load(Ordering::Relaxed) > 0
    }

    /// Ends once a response has waited for its client for longer than `turn`.
    pub(super) async fn overdue(&self, turn: Duration) {
        let mut ticks = tokio::time::interval(turn);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.is_overdue() {
                return;
            }
        }
    }
}

/// Bytes to be sent, with the memory that they hold.
pub(crate) struct Sending {
    bytes: Bytes,
    _held: Arc<Held>,
}

struct Held {
    _share: Arc<Share>,
    unsent: Arc<Unsent>,
    turn: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.unsent.end(self.turn);
    }
}

impl Buf for Sending {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The body of a response, with its share of memory.
pub(crate) struct Answer {
    body: Body,
    account: Account,
    unsent: Arc<Unsent>,
    /// The call's share, for its one message. A body without it, such as a stream, takes a share for each piece.
    share: Option<Arc<Share>>,
}

impl Answer {
    pub(super) fn of(response: Response<Body>, account: &Account, unsent: &Arc<Unsent>) -> Response<Self> {
        let (mut parts, body) = response.into_parts();
        let share = parts.extensions.remove::<Option<Arc<Share>>>().flatten();
        let answer = Self { body, account: account.clone(), unsent: Arc::clone(unsent), share };
        Response::from_parts(parts, answer)
    }
}

impl http_body::Body for Answer {
    type Data = Sending;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Sending>, Status>>> {
        let frame = match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => return Poll::Ready(Some(Err(status))),
            None => return Poll::Ready(None),
        };
        let frame = match frame.into_data() {
            Ok(bytes) => bytes,
            Err(frame) => {
                let trailers = frame.into_trailers().ok();
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
        };
        let share = self.share.clone().or_else(|| self.account.try_take(frame.len()).map(Arc::new));
        let Some(share) = share else {
            let unread = "the client has not read the responses before this one";
            return Poll::Ready(Some(Err(Status::resource_exhausted(unread))));
        };
        let held = Held { _share: share, unsent: Arc::clone(&self.unsent), turn: self.unsent.begin() };
        Poll::Ready(Some(Ok(Frame::data(Sending { bytes: frame, _held: Arc::new(held) }))))
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

    #[test]
    fn an_answer_is_overdue_after_a_turn_and_before_two() {
        for turns_before in 0..5 {
            let unsent = Unsent::default();
            for _ in 0..turns_before {
                assert!(!unsent.is_overdue());
            }
            let turn = unsent.begin();
            assert!(!unsent.is_overdue(), "it has not waited for a whole turn yet");
            let later = unsent.begin();
            assert!(unsent.is_overdue());
            unsent.end(turn);
            assert!(unsent.is_overdue(), "so is the one after it");
            unsent.end(later);
            assert!(!unsent.is_overdue());
        }
    }
}
