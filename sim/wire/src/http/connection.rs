//! One client connection: HTTP/1.1 with keep-alive over any stream, one request at a time.
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use world::{
    net::TcpStream,
    time::{Duration, timeout},
};

use super::{
    BODY_LIMIT, Error,
    error::{NotSent, Unknown},
    trace,
};

/// A connection to one address. Not pooled: for those who keep their own, such as a buyer with its browser.
///
/// There is no task behind it: whoever sends a request drives it. Dropping the future of [`send`](Self::send)
/// leaves the connection unusable, as the answer of the dropped request may still come.
#[derive(Debug)]
pub struct Connection<S: AsyncRead + AsyncWrite + Unpin = TcpStream> {
    addr: String,
    host: HeaderValue,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver<S>,
    /// False while a request is under way and after one was abandoned or lost.
    usable: bool,
}

/// hyper's half that moves the bytes; `None` once it has ended. Boxed, as connections move in and out of pools.
#[derive(Debug)]
struct Driver<S: AsyncRead + AsyncWrite + Unpin>(Option<Box<http1::Connection<TokioIo<S>, Full<Bytes>>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Moves what can be moved. An error is not lost: the request under way gets it from hyper.
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(context).is_ready()
        {
            self.0 = None;
        }
    }

    /// Runs a future that waits for this connection.
    async fn drive<F: Future>(&mut self, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|context| {
            self.poll(context);
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            // The future may have asked for what the connection already holds (the body after the head).
            self.poll(context);
            future.as_mut().poll(context)
        })
        .await
    }
}

impl Connection<TcpStream> {
    /// Connects to "host:port" within a time.
    ///
    /// # Errors
    /// Always [`Error::NotSent`].
    pub async fn connect(addr: &str, within: Duration) -> Result<Self, Error> {
        let reason = match timeout(within, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => return Self::new(addr, stream).await,
            Ok(Err(error)) => NotSent::Connect(error),
            Err(_) => NotSent::ConnectTimeout(within),
        };
        Err(Error::NotSent { addr: addr.to_owned(), reason })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    /// Speaks HTTP over a stream that is connected to `addr` ("host:port", the `Host` of the requests).
    ///
    /// # Errors
    /// [`Error::NotSent`] if `addr` cannot be a `Host` header.
    pub async fn new(addr: &str, stream: S) -> Result<Self, Error> {
        let not_sent = |reason| Error::NotSent { addr: addr.to_owned(), reason };
        let host = HeaderValue::from_str(addr)
            .map_err(|_| not_sent(NotSent::InvalidRequest("the address is not a valid Host header")))?;
        let (sender, connection) = http1::Builder::new()
            // Flattens head and body into one buffer: one write, whatever the stream supports.
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| not_sent(NotSent::Closed))?;
        Ok(Connection {
            addr: addr.to_owned(),
            host,
            sender,
            driver: Driver(Some(Box::new(connection))),
            usable: true,
        })
    }

    /// The address given at the beginning.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Can another request be sent? Looks whether the other side has closed the connection meanwhile.
    pub async fn is_usable(&mut self) -> bool {
        if self.usable {
            poll_fn(|context| {
                self.driver.poll(context);
                Poll::Ready(())
            })
            .await;
        }
        self.usable && self.driver.0.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the whole answer, at most `within`. `Host` and the trace id of the scope are
    /// added. The path of the request's URI is sent as it is, in origin form.
    ///
    /// # Errors
    /// [`Error::NotSent`] if the connection was closed before anything was written; [`Error::Unknown`] after that.
    /// After an error the connection is not usable any more.
    pub async fn send(
        &mut self,
        request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Bytes>, Error> {
        match self.try_send(request, within).await {
            Ok(response) => Ok(response),
            Err(Failure::Unsent(_)) => {
                Err(Error::NotSent { addr: self.addr.clone(), reason: NotSent::Closed })
            }
            Err(Failure::Error(error)) => Err(error),
        }
    }

    /// As [`send`](Self::send); a request that was not written comes back, to be sent over another connection.
    pub(super) async fn try_send(
        &mut self,
        mut request: Request<Bytes>,
        within: Duration,
    ) -> Result<Response<Bytes>, Failure> {
        if request.body().len() > BODY_LIMIT {
            let reason = NotSent::InvalidRequest("the body is larger than the limit");
            return Err(Failure::Error(Error::NotSent { addr: self.addr.clone(), reason }));
        }
        if !self.is_usable().await {
            return Err(Failure::Unsent(Box::new(request)));
        }
        request.headers_mut().insert(header::HOST, self.host.clone());
        if let Some(id) = trace::current() {
            request.headers_mut().entry(trace::HEADER).or_insert(id);
        }
        self.usable = false;
        let result = {
            // Pinned here, so that only references move from wrapper to wrapper.
            let exchange = pin!(exchange(&mut self.sender, request));
            let driven = pin!(self.driver.drive(exchange));
            timeout(within, driven).await
        };
        match result {
            Ok(Ok(response)) => {
                self.usable = true;
                Ok(response)
            }
            Ok(Err(Lost::Unsent(request))) => Err(Failure::Unsent(request)),
            Ok(Err(Lost::Unknown(reason))) => Err(self.unknown(reason)),
            Err(_) => Err(self.unknown(Unknown::Timeout(within))),
        }
    }

    fn unknown(&self, reason: Unknown) -> Failure {
        Failure::Error(Error::Unknown { addr: self.addr.clone(), reason })
    }
}

/// Why an attempt over this connection failed.
pub(super) enum Failure {
    /// Nothing was written: here is the request, for another connection.
    Unsent(Box<Request<Bytes>>),
    /// Final.
    Error(Error),
}

/// As [`Failure`], below the address.
enum Lost {
    Unsent(Box<Request<Bytes>>),
    Unknown(Unknown),
}

/// One request and its whole answer; the driver must be polled beside it.
async fn exchange(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Lost> {
    // A copy of the body comes back with the request: hyper's `Full` cannot be opened again. Bytes are shared.
    let body = request.body().clone();
    let response = match sender.try_send_request(request.map(Full::new)).await {
        Ok(response) => response,
        Err(mut error) => {
            return Err(match error.take_message() {
                Some(request) => Lost::Unsent(Box::new(request.map(|_| body))),
                None => Lost::Unknown(Unknown::Lost(error.into_error().into())),
            });
        }
    };
    let (parts, incoming) = response.into_parts();
    match Limited::new(incoming, BODY_LIMIT).collect().await {
        Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(Lost::Unknown(Unknown::BodyTooLarge(BODY_LIMIT))),
        Err(error) => Err(Lost::Unknown(Unknown::Lost(error))),
    }
}
