//! The mTLS port: a loop of our own accepts connections, makes the TLS handshake and drives HTTP/2. So the certificate can
//! change while connections are open, every limit is explicit, and a connection that is old, or open when the program stops,
//! gets GOAWAY.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use credvault_crypto::SystemRandom;
use credvault_domain::Random as _;
use credvault_identity::PeerCertificate;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::peer::Peer;
use super::tls::Tls;
use crate::accept::{Accepted, Acceptor};
use crate::settings::Limits;
use credvault_operations::room::{Account, AnswerRoom, Room, neighbourhood};

/// How long a TLS handshake may take, including the wait for its turn.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long calls in progress on an old connection may take.
const OLD_CONNECTION_GRACE: Duration = Duration::from_secs(30);

/// The mTLS port with everything that it serves with.
pub(crate) struct Server {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Arc<Tls>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) room: Arc<AnswerRoom>,
    pub(crate) limits: Limits,
}

impl Server {
    /// Serves until `stop`, then lets calls in progress finish for at most `drain`.
    pub(crate) async fn run(self, stop: CancellationToken, drain: Duration) {
        let Self { listener, tls, gate, room, limits } = self;
        let handshakes = Room::new(limits.handshakes, limits.handshakes_per_address);
        let mut acceptor =
            Acceptor::new(listener, "grpc", limits.connections, limits.connections_per_address);
        let tracker = TaskTracker::new();
        let cut = CancellationToken::new();
        while let Some(accepted) = stop.run_until_cancelled(acceptor.next()).await {
            let Accepted { socket, address, place } = accepted;
            let (tls, gate, room) = (Arc::clone(&tls), Arc::clone(&gate), Arc::clone(&room));
            let turns = handshakes.account(neighbourhood(address));
            let (stop, cut, age, wait) =
                (stop.clone(), cut.clone(), age(&limits), limits.unread_response_wait);
            tracker.spawn(async move {
                let _place = place;
                let Some(stream) = handshake(socket, &tls, &turns).await else { return };
                let certificate = PeerCertificate::read(chain(&stream));
                let peer = Arc::new(Peer {
                    account: room.account(certificate.service().cloned()),
                    certificate,
                    checked: AtomicU64::new(0),
                    address,
                    unsent: Arc::default(),
                });
                metrics::gauge!("credvault_connections").increment(1);
                tokio::select! {
                    () = drive(stream, gate, Arc::clone(&peer), age, stop, cut) => {}
                    () = peer.unsent.overdue(wait) => {
                        metrics::counter!("credvault_unread_connections_total").increment(1);
                        let service = peer.certificate.service().map(tracing::field::display);
                        tracing::warn!(service, "a connection was closed: its client did not read a response");
                    }
                }
                metrics::gauge!("credvault_connections").decrement(1);
            });
        }
        drop(acceptor);
        tracker.close();
        if tokio::time::timeout(drain, tracker.wait()).await.is_err() {
            tracing::warn!("calls were still in progress when the time to drain was over");
            cut.cancel();
            tracker.wait().await;
        }
    }
}

/// The age at which a connection gets GOAWAY: plus or minus a tenth, so that not all clients reconnect at once.
fn age(limits: &Limits) -> Duration {
    let mut random = [0; 1];
    // Without randomness every connection gets the same age.
    let _ = SystemRandom.fill(&mut random);
    let jitter = 0.9 + 0.2 * f64::from(random[0]) / 255.0;
    limits.max_connection_age.mul_f64(jitter)
}

async fn handshake(socket: TcpStream, tls: &Tls, turns: &Account) -> Option<TlsStream<TcpStream>> {
    // With Nagle's algorithm, every small response would wait for the peer's delayed acknowledgement.
    socket.set_nodelay(true).ok()?;
    let until = tokio::time::Instant::now() + HANDSHAKE_TIMEOUT;
    let failure = match turns.take(1, until).await {
        Some(_turn) => {
            let shaking = TlsAcceptor::from(tls.current()).accept(socket);
            match tokio::time::timeout_at(until, shaking).await {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long".to_owned(),
            }
        }
        None => "too many other handshakes were in progress".to_owned(),
    };
    metrics::counter!("credvault_handshake_failures_total").increment(1);
    tracing::info!(error = failure, "a TLS handshake failed");
    None
}

fn chain(stream: &TlsStream<TcpStream>) -> Vec<CertificateDer<'static>> {
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    certificates.iter().map(|certificate| certificate.clone().into_owned()).collect()
}

/// Serves one connection until it ends, gets too old, or the program stops; `cut` closes it at once.
async fn drive(
    stream: TlsStream<TcpStream>,
    gate: Arc<Gate>,
    peer: Arc<Peer>,
    age: Duration,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let service = hyper::service::service_fn(move |request| {
        let (gate, peer) = (Arc::clone(&gate), Arc::clone(&peer));
        async move { Ok::<_, std::convert::Infallible>(gate.serve(&peer, request).await) }
    });
    let connection = http2().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        result = connection.as_mut() => Some(result),
        () = tokio::time::sleep(age) => None,
        () = stop.cancelled() => None,
        () = cut.cancelled() => return,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            connection.as_mut().graceful_shutdown();
            // An old connection has a limit of its own; while the program stops, the time to drain is the limit.
            let grace = async {
                tokio::time::sleep(OLD_CONNECTION_GRACE).await;
                if stop.is_cancelled() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                result = connection => result,
                () = grace => return,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// The limits of HTTP/2, all of them explicit. `docs/limits.md` says which attack each one is for.
fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256)
        .max_header_list_size(16 * 1024)
        .max_frame_size(16 * 1024)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}
