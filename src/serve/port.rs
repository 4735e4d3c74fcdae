//! The two ports of plain HTTP, for browsers and for operators: strangers may reach them, so every connection has
//! limits of time, and every address of places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::accept::{Accepted, Acceptor};

/// How long the head of a request may take to arrive, and how long a connection may idle.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last.
const LIFE: Duration = Duration::from_secs(120);
/// The largest head.
const LARGEST_HEAD: usize = 32 * 1024;

/// What a port speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1, and what is in progress may finish at the end.
    Browsers,
    /// HTTP/2 as well, for health over gRPC. It ends at once: watches of health would keep it open.
    Operators,
}

/// Serves a port until the end.
pub(super) async fn serve(
    mut acceptor: Acceptor,
    protocol: Protocol,
    router: Router,
    end: CancellationToken,
) {
    let (builder, tracker) = (Arc::new(builder(protocol)), TaskTracker::new());
    while let Some(accepted) = end.run_until_cancelled(acceptor.next()).await {
        let (builder, router, end) = (Arc::clone(&builder), router.clone(), end.clone());
        let farewell = if protocol == Protocol::Browsers { HEAD } else { Duration::ZERO };
        tracker.spawn(async move { drive(accepted, &builder, router, farewell, end).await });
    }
    drop(acceptor);
    tracker.close();
    tracker.wait().await;
}

fn builder(protocol: Protocol) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(16)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HEAD);
    if protocol == Protocol::Browsers { builder.http1_only() } else { builder }
}

async fn drive(
    accepted: Accepted,
    builder: &Builder<TokioExecutor>,
    router: Router,
    farewell: Duration,
    end: CancellationToken,
) {
    let Accepted { socket, address, place: _place } = accepted;
    let begun = Arc::new(AtomicBool::new(false));
    let service = {
        let begun = Arc::clone(&begun);
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(address));
            router.clone().oneshot(request)
        })
    };
    // Until the first request it is not known what is spoken, so no limit of a protocol holds yet.
    let silent = async {
        tokio::time::sleep(HEAD).await;
        if begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = silent => return,
        () = tokio::time::sleep(LIFE) => {}
        () = end.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // How such a connection ends is of no interest to this side.
    let _ = tokio::time::timeout(farewell, connection).await;
}
