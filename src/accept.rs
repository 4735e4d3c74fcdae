//! Accepts connections, up to a limit for all and a limit for each address. A failed accept never ends the port.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use credvault_operations::room::{Room, Share, neighbourhood};

/// The pause after a failed accept: while file descriptors are missing, the next accept would fail at once.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// The shortest time between two log lines about failures.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// A listener with limits of connections.
pub(crate) struct Acceptor {
    listener: TcpListener,
    /// The port's name in metrics and the log.
    port: &'static str,
    places: Room<IpAddr>,
    failures: Failures,
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) address: IpAddr,
    /// Its share of the limits, free again when this is dropped.
    pub(crate) place: Share,
}

impl Acceptor {
    /// Keeps up to `all` connections open, and up to `each` of one address; 0 means up to `all`.
    pub(crate) fn new(listener: TcpListener, port: &'static str, all: usize, each: usize) -> Self {
        Self { listener, port, places: Room::new(all, each), failures: Failures::default() }
    }

    /// The next connection within the limits; others are closed. No connection is lost if this is dropped while it waits.
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
                // File descriptors are missing, or the peer has left at once. Neither is a reason to stop.
                Err(error) => {
                    if let Some(count) = self.failures.note(Instant::now()) {
                        tracing::warn!(%error, count, port = self.port, "accepting connections failed");
                    }
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }
}

/// The failures since the last log line.
#[derive(Default)]
struct Failures {
    count: u64,
    reported: Option<Instant>,
}

impl Failures {
    /// Counts a failure. Returns how many to report, if it is time to report them.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.reported.is_some_and(|reported| now - reported < REPORT_INTERVAL) {
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
        let reports: Vec<_> = (0..400).filter_map(|i| failures.note(begin + FAILURE_PAUSE * i)).collect();
        assert_eq!(reports, [1, 200]);
    }
}
