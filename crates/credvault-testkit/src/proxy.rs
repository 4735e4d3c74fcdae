//! A proxy in front of PostgreSQL that counts round trips in which work was done, and can fall silent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts, over all connections made through it, how often a client sent something to execute and then waited.
#[derive(Clone, Debug)]
pub struct RoundTrips {
    /// The port that it listens on.
    pub port: u16,
    count: Arc<AtomicU64>,
    silenced: Arc<AtomicU64>,
}

impl RoundTrips {
    /// Starts to forward to a server on loopback.
    pub fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            count: Arc::default(),
            silenced: Arc::default(),
        };
        let (count, silenced) = (Arc::clone(&this.count), Arc::clone(&this.silenced));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (generation, silenced) = (silenced.load(Ordering::SeqCst), Arc::clone(&silenced));
                let alive = move || silenced.load(Ordering::SeqCst) == generation;
                let (Ok(client), count) = (client, Arc::clone(&count)) else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else { return };
                for stream in [&client, &server] {
                    let _ = stream.set_nodelay(true);
                }
                let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let alive_too = alive.clone();
                std::thread::spawn(move || forward(from_server, to_client, alive_too, |_| {}));
                std::thread::spawn(move || {
                    let mut begun = false;
                    forward(client, server, alive, |bytes| {
                        // The first message of a connection has no type.
                        if std::mem::replace(&mut begun, true) && executes(bytes) {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                });
            }
        });
        this
    }

    /// The connections made so far carry nothing from now on and stay open, as if the server had lost its power. New
    /// ones work.
    pub fn silence(&self) {
        self.silenced.fetch_add(1, Ordering::SeqCst);
    }

    /// How many there were so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

/// Whether a flight of messages holds a simple query (Q), a parse (P) or an execution (E): a lone Sync, with which the
/// pool tests a returned connection behind the caller's back, does no work.
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

fn forward(mut from: TcpStream, mut to: TcpStream, alive: impl Fn() -> bool, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        if !alive() {
            continue;
        }
        see(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
