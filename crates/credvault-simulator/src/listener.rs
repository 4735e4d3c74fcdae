//! The listener: accepts connections, or closes them at once while the behaviour refuses them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};

use crate::state::{Shared, State};

pub(crate) struct RefusingListener {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl RefusingListener {
    pub(crate) fn new(listener: TcpListener, shared: Arc<Shared>) -> Self {
        Self { listener, shared }
    }
}

impl Listener for RefusingListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            if self.shared.with(refuses) {
                continue;
            }
            // Without Nagle's algorithm small answers arrive sooner. A failure only delays them.
            let _ = stream.set_nodelay(true);
            return (stream, peer);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn refuses(state: &mut State) -> bool {
    let refuses = state.behaviour.refuse_connections > 0;
    if refuses {
        state.behaviour.refuse_connections -= 1;
        state.counts.refused_connections += 1;
    }
    refuses
}
