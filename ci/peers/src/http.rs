//! HTTP/1.1 through hyper: GET requests with a short body in return, every connection kept alive.

use std::convert::Infallible;
use std::iter;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::engine::{Engine, Host};
use crate::measure::{self, Measurement};
use crate::stage::{self, Load, Tally};

/// Bytes of a response's body.
const BODY: [u8; 100] = [b'x'; 100];

/// Requests per second of processor time.
pub(crate) fn run<E: Engine>(load: Load) -> Measurement {
    let tally = Tally::default();
    let mut hosts = stage::clients_and_servers::<E, _, _>(load, &tally, answer::<E>, ask::<E>);
    hosts.extend(iter::repeat_with(Host::idle).take(10));
    let requests = load.requests();
    let measurement = measure::whole("requests/s", || E::run(hosts), |cpu_s| requests as f64 / cpu_s);
    tally.expect(requests);
    measurement
}

async fn answer<E: Engine>(stream: E::Stream) {
    let service = service_fn(async |_: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&BODY))))
    });
    // Without the Date header, which reads the machine's clock on some simulators and a simulated one on others.
    let connection = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    connection.await.ok();
}

async fn ask<E: Engine>(stream: E::Stream, requests: u64) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("the handshake sends nothing");
    E::spawn(async move {
        connection.await.ok();
    });
    for _ in 0..requests {
        sender.ready().await.expect("the connection lives");
        let request = Request::get("/quote").header(HOST, "server").body(Empty::<Bytes>::new());
        let response =
            sender.send_request(request.expect("a valid request")).await.expect("the server answers");
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        assert_eq!(body, BODY.as_slice(), "the body");
    }
}
