//! What strangers can do to the ports: one address does not use up the places of the others, and what says nothing ends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{VaultBuilder, get};

/// A connection from another address of this machine.
async fn stranger(port: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(port).await.unwrap()
}

/// Connections from the stranger that begin a request and do not finish it: as many as have places, after the others
/// were closed.
async fn flood(port: SocketAddr, count: usize, kept: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = stranger(port).await;
        // It may be closed already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nx: ").await;
        open.push(stream);
    }
    // The first ones have their places. Those beyond are closed.
    for mut stream in open.split_off(kept) {
        assert!(!matches!(stream.read(&mut [0]).await, Ok(1..)), "nothing is answered");
    }
    open
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_of_one_address_leave_the_others_their_places() {
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| {
            settings.public.address = "127.0.0.1:0".parse().unwrap();
            settings.public.url = Some("http://localhost".to_owned());
            settings.public.connections_per_address = 4;
        })
        .start()
        .await;
    let instance = vault.instance.as_ref().unwrap();
    let public = instance.public_address.unwrap();
    let _open = (flood(public, 12, 4).await, flood(instance.admin_address, 80, 64).await);
    assert_eq!(get(public, "/").await.0, 200);
    assert_eq!(get(instance.admin_address, "/livez").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_handshakes_of_one_address_leave_the_others_their_turns() {
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| {
            (settings.limits.connections, settings.limits.connections_per_address) = (20, 16);
            (settings.limits.handshakes, settings.limits.handshakes_per_address) = (4, 2);
        })
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(stranger(vault.address()).await);
    }
    // In one queue it would come after them, and a handshake that waits for 5 s is given up.
    vault.client("reader").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_nothing_or_never_ends_its_head_is_closed() {
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| {
            settings.public.address = "127.0.0.1:0".parse().unwrap();
            settings.public.url = Some("http://localhost".to_owned());
        })
        .start()
        .await;
    let instance = vault.instance.as_ref().unwrap();
    let mut closing = Vec::new();
    for port in [instance.public_address.unwrap(), instance.admin_address] {
        // Idle after an answer, silent, in the middle of a head, in the middle of what HTTP/2 begins with.
        for said in
            ["GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "", "GET / HTTP/1.1\r\nhost: loc", "PRI * HTT"]
        {
            closing.push(tokio::spawn(async move {
                let mut stream = TcpStream::connect(port).await.unwrap();
                stream.write_all(said.as_bytes()).await.unwrap();
                // Ends when the other side closes.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }));
        }
    }
    let closed = futures::future::try_join_all(closing);
    tokio::time::timeout(Duration::from_secs(60), closed).await.expect("closed").unwrap();
}
