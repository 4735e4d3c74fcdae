//! Accepting connections: places for all and for each address, and patience with an accept that fails.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use credvault_operations::room::{Room, Share, neighbourhood};

/// How long is waited after an accept that failed: for want of file descriptors the next would fail at once.
const PAUSE: Duration = Duration::from_millis(50);
/// How often failures are logged at most.
const REPORT: Duration = Duration::from_secs(10);

/// A listener with places.
pub(crate) struct Acceptor {
    listener: TcpListener,
    /// What the port is called in metrics and the log.
    port: &'static str,
    places: Room<IpAddr>,
    failures: Failures,
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) address: IpAddr,
    /// Its place, free again when this is dropped.
    pub(crate) place: Share,
}

impl Acceptor {
    /// Accepts up to `all` connections at once, up to `each` of an address; 0 means as many as there are.
    pub(crate) fn new(listener: TcpListener, port: &'static str, all: usize, each: usize) -> Self {
        Self { listener, port, places: Room::new(all, each), failures: Failures::default() }
    }

    /// The next connection that has a place. Those that have none are closed. Dropped while it waits, it loses none.
    pub(crate) async fn next(&mut self) -> Accepted {
        loop {
            match self.listener.accept().await {
                Ok((socket, address)) => {
                    let address = address.ip().to_canonical();
                    match self.places.account(neighbourhood(address)).try_take(1) {
                        Some(place) => return Accepted { socket, address, place },
                        None => {
                            metrics::counter!("credvault_connections_refused_total", "port" => self.port)
                                .increment(1);
                        }
                    }
                }
                // Out of file descriptors, or a peer that was gone at once: never a reason to stop serving.
                Err(error) => {
                    if let Some(count) = self.failures.note(Instant::now()) {
                        tracing::warn!(%error, count, port = self.port, "accepting connections failed");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Failures since the last report of them.
#[derive(Default)]
struct Failures {
    count: u64,
    reported: Option<Instant>,
}

impl Failures {
    /// Notes one; how many there are to be reported, if it is time to.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.reported.is_some_and(|reported| now - reported < REPORT) {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_reported_once_an_interval_with_their_count() {
        let (mut failures, begin) = (Failures::default(), Instant::now());
        let reports: Vec<_> = (0..400).filter_map(|i| failures.note(begin + PAUSE * i)).collect();
        assert_eq!(reports, [1, 200]);
    }
}
