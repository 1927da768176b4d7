//! The server side: an `axum::Router` behind a listener.
use std::{convert::Infallible, pin::pin, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    response::IntoResponse,
};
use http::{Request, Response, StatusCode};
use http_body_util::Limited;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;
use world::net::TcpListener;

use super::{ApiError, BODY_LIMIT, trace};

/// How long to wait after a failed accept (out of descriptors, for example) before the next.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts connections for ever and serves each in a task of its own.
pub async fn serve(listener: TcpListener, router: Router) {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                world::task::spawn(serve_connection(stream, router.clone()));
            }
            Err(_) => world::time::sleep(ACCEPT_RETRY).await,
        }
    }
}

/// Serves one connection until it is closed, lost, or carries something that is not HTTP.
///
/// Handlers run inside this future, one request at a time, each in the [`trace::scope`] of its request. A handler
/// always runs to its end: a client that closes or gives up in the middle does not cancel it, because half-closed
/// connections are served. Bodies above [`BODY_LIMIT`] are answered with 413.
pub async fn serve_connection<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| handle(router.clone(), request));
    let connection = http1::Builder::new()
        // The date would be read from the real clock.
        .auto_date_header(false)
        .header_read_timeout(None)
        .half_close(true)
        // Flattens head and body into one buffer: one write, whatever the stream supports.
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    // An error ends only this connection: it is the client's, or the network's.
    let _ = connection.await;
}

/// One request through the router.
async fn handle(mut router: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let trace_id = request.headers().get(&trace::HEADER).cloned();
    // What is announced as too large is refused at once, instead of when the limit has been read.
    if request.body().size_hint().lower() > BODY_LIMIT as u64 {
        return Ok(trace::scope(trace_id, async { too_large() }).await);
    }
    let answer = router.call(request.map(|body| Body::new(Limited::new(body, BODY_LIMIT))));
    trace::scope_pinned(trace_id, pin!(answer)).await
}

fn too_large() -> Response<Body> {
    let message = format!("a body may have {BODY_LIMIT} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).into_response()
}
