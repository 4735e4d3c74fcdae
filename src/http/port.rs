//! How the two ports of plain HTTP, for browsers and for operators, drive their connections. Strangers may reach them, so
//! every connection has time limits, and every address a limit of connections.

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
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last.
const MAX_CONNECTION_TIME: Duration = Duration::from_secs(120);
/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The protocol of a port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1; requests in progress may finish when the vault stops.
    Browsers,
    /// HTTP/1.1 and HTTP/2, for health over gRPC. Connections end at once: watches of health would keep them open.
    Operators,
}

/// Serves a port until the end.
pub(crate) async fn serve(
    mut acceptor: Acceptor,
    protocol: Protocol,
    router: Router,
    end: CancellationToken,
) {
    let (builder, tracker) = (Arc::new(builder(protocol)), TaskTracker::new());
    while let Some(accepted) = end.run_until_cancelled(acceptor.next()).await {
        let (builder, router, end) = (Arc::clone(&builder), router.clone(), end.clone());
        let farewell = if protocol == Protocol::Browsers { HEAD_TIMEOUT } else { Duration::ZERO };
        tracker.spawn(async move { drive(accepted, &builder, router, farewell, end).await });
    }
    drop(acceptor);
    tracker.close();
    tracker.wait().await;
}

fn builder(protocol: Protocol) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(16)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(HEAD_TIMEOUT)
        .keep_alive_timeout(HEAD_TIMEOUT);
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
    // Until the first request the protocol is unknown, so none of the protocols' own time limits holds yet.
    let silent = async {
        tokio::time::sleep(HEAD_TIMEOUT).await;
        if begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = silent => return,
        () = tokio::time::sleep(MAX_CONNECTION_TIME) => {}
        () = end.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // An error at the end of such a connection changes nothing here.
    let _ = tokio::time::timeout(farewell, connection).await;
}
