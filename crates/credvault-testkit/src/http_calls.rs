//! A proxy in front of an HTTP server on loopback that counts requests, and that can lose their answers. It knows HTTP/1
//! only as far as that on a connection one request follows the other.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts, over all its connections, the requests that clients send to a server.
#[derive(Clone, Debug)]
pub struct HttpCalls {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    sent: AtomicU64,
    /// The number of the last request whose answer arrives.
    last: AtomicU64,
    lost: AtomicU64,
}

/// What a connection is at.
#[derive(Debug)]
struct Connection {
    /// The number of its latest request.
    request: AtomicU64,
    /// Whether bytes of the client's are a new request.
    answered: AtomicBool,
}

impl HttpCalls {
    /// Starts to forward connections to a server on loopback.
    pub fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sent, last, lost) = (AtomicU64::new(0), AtomicU64::new(u64::MAX), AtomicU64::new(0));
        let this = Self { address, counts: Arc::new(Counts { sent, last, lost }) };
        let counts = Arc::clone(&this.counts);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) {
                    join(client, server, &counts);
                }
            }
        });
        this
    }

    /// The address that clients call in the server's place, as a URL.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of requests so far.
    pub fn count(&self) -> u64 {
        self.counts.sent.load(Ordering::SeqCst)
    }

    /// Lets this number of requests have their answers. The answers of all later ones are lost: the server gets them, and
    /// their connections are cut.
    pub fn lose_answers_after(&self, more: u64) {
        self.counts.last.store(self.count() + more, Ordering::SeqCst);
    }

    /// Lets all answers through from now on.
    pub fn lose_no_answers(&self) {
        self.counts.last.store(u64::MAX, Ordering::SeqCst);
    }

    /// The number of answers that were lost.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::SeqCst)
    }
}

/// Forwards between a client and the server, in both directions.
fn join(client: TcpStream, server: TcpStream, counts: &Arc<Counts>) {
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let state = Arc::new(Connection { request: AtomicU64::new(0), answered: AtomicBool::new(true) });
    let (counts_too, state_too) = (Arc::clone(counts), Arc::clone(&state));
    std::thread::spawn(move || {
        forward(client, server, || {
            if state_too.answered.swap(false, Ordering::SeqCst) {
                let number = counts_too.sent.fetch_add(1, Ordering::SeqCst) + 1;
                state_too.request.store(number, Ordering::SeqCst);
            }
            true
        });
    });
    let counts = Arc::clone(counts);
    std::thread::spawn(move || {
        forward(from_server, to_client, || {
            let arrives = state.request.load(Ordering::SeqCst) <= counts.last.load(Ordering::SeqCst);
            counts.lost.fetch_add(u64::from(!arrives), Ordering::SeqCst);
            // Before the client has it: what it sends then is its next request.
            state.answered.store(true, Ordering::SeqCst);
            arrives
        });
    });
}

/// Forwards until an end is closed, or until some bytes are not to arrive.
fn forward(mut from: TcpStream, mut to: TcpStream, mut arrive: impl FnMut() -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || !arrive() || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for end in [&to, &from] {
        let _ = end.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::HttpCalls;

    /// Sends a request on a connection. Gives the answer's bytes, none if it was cut.
    fn ask(stream: &mut TcpStream) -> usize {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        stream.read(&mut [0; 64]).unwrap_or_default()
    }

    #[test]
    fn requests_are_counted_and_answers_lost_after_some() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {
                        stream.write_all(b"HTTP/1.1 204 \r\n\r\n").unwrap();
                    }
                });
            }
        });
        let calls = HttpCalls::start(port);
        let connect = || TcpStream::connect(calls.address().trim_start_matches("http://")).unwrap();
        let mut stream = connect();
        assert!(ask(&mut stream) > 0 && ask(&mut stream) > 0);
        calls.lose_answers_after(1);
        assert!(ask(&mut stream) > 0);
        assert_eq!(ask(&mut stream), 0);
        assert_eq!((calls.count(), calls.lost()), (4, 1));
        calls.lose_no_answers();
        assert!(ask(&mut connect()) > 0);
        assert_eq!((calls.count(), calls.lost()), (5, 1));
    }
}
