//! A proxy in front of PostgreSQL that counts round trips which did work, and that can fall silent or cut connections.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts, over all its connections, how often a client sent statements to execute and then waited.
#[derive(Clone, Debug)]
pub struct RoundTrips {
    /// The port that the proxy listens on.
    pub port: u16,
    count: Arc<AtomicU64>,
    silenced: Arc<AtomicU64>,
    last: Arc<AtomicU64>,
    /// Whether messages after the last permitted one are swallowed; otherwise their connection is cut.
    swallows: Arc<AtomicBool>,
    swallowed: Arc<AtomicU64>,
}

impl RoundTrips {
    /// Starts to forward connections to a server on loopback.
    pub fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            count: Arc::default(),
            silenced: Arc::default(),
            last: Arc::new(AtomicU64::new(u64::MAX)),
            swallows: Arc::default(),
            swallowed: Arc::default(),
        };
        let shared = this.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Self { count, silenced, last, swallows, swallowed, .. } = shared.clone();
                let generation = silenced.load(Ordering::SeqCst);
                let alive = move || silenced.load(Ordering::SeqCst) == generation;
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else { return };
                for stream in [&client, &server] {
                    let _ = stream.set_nodelay(true);
                }
                let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let alive_too = alive.clone();
                std::thread::spawn(move || forward(from_server, to_client, alive_too, |_| Then::Forward));
                std::thread::spawn(move || {
                    let mut begun = false;
                    forward(client, server, alive, |bytes| {
                        // The first message of a connection has no type.
                        let works = std::mem::replace(&mut begun, true) && executes(bytes);
                        if works && count.load(Ordering::SeqCst) >= last.load(Ordering::SeqCst) {
                            if !swallows.load(Ordering::SeqCst) {
                                return Then::Cut;
                            }
                            swallowed.fetch_add(1, Ordering::SeqCst);
                            return Then::Swallow;
                        }
                        count.fetch_add(u64::from(works), Ordering::SeqCst);
                        Then::Forward
                    });
                });
            }
        });
        this
    }

    /// Lets the present connections stay open but carry nothing, as if the server had lost its power. New connections
    /// work.
    pub fn silence(&self) {
        self.silenced.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets this number of round trips through. The next one does not arrive and its connection is cut, as if the client
    /// had been killed before it.
    pub fn cut_after(&self, more: u64) {
        self.last.store(self.count() + more, Ordering::SeqCst);
    }

    /// Lets this number of round trips through and swallows all later ones, on all connections, as if the server had
    /// stopped.
    pub fn silence_after(&self, more: u64) {
        self.swallows.store(true, Ordering::SeqCst);
        self.cut_after(more);
    }

    /// The number of round trips that were swallowed.
    pub fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::SeqCst)
    }

    /// The number of round trips that were counted.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

/// Whether a batch of messages holds a simple query (Q), a parse (P) or an execution (E). A lone Sync, with which the pool
/// tests a returned connection, does no work.
fn executes(mut bytes: &[u8]) -> bool {
    while let [kind, a, b, c, d, ..] = *bytes {
        if matches!(kind, b'Q' | b'P' | b'E') {
            return true;
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap() + 1;
        bytes = bytes.get(length..).unwrap_or_default();
    }
    false
}

/// The fate of a batch of messages from a client.
#[derive(PartialEq, Eq)]
enum Then {
    Forward,
    Swallow,
    Cut,
}

fn forward(
    mut from: TcpStream,
    mut to: TcpStream,
    alive: impl Fn() -> bool,
    mut see: impl FnMut(&[u8]) -> Then,
) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        if !alive() {
            continue;
        }
        let then = see(&buffer[..read]);
        if then == Then::Swallow {
            continue;
        }
        if then == Then::Cut || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for end in [&to, &from] {
        let _ = end.shutdown(Shutdown::Both);
    }
}
