//! One client connection: HTTP/1.1 with keep-alive over any stream, one request at a time.
use std::{
    future::{Future, poll_fn},
    iter,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use world::{
    net::TcpStream,
    time::{Duration, timeout},
};

use crate::story;

use super::{
    BODY_LIMIT, Error,
    error::{NotSent, Unknown},
    trace,
};

/// A connection to one address. Not pooled: for those who keep their own, such as a buyer with its browser.
///
/// There is no task behind it: whoever sends a request drives it. Dropping the future of [`send`](Self::send)
/// closes the connection, as the answer of the dropped request may still come.
///
/// Between two requests it is nothing but its stream. hyper's state, with its buffers some 25 KiB, is made anew for
/// each request: a sale has thousands of connections and hardly any of them is in use at a given moment.
#[derive(Debug)]
pub struct Connection<S: AsyncRead + AsyncWrite + Unpin = TcpStream> {
    addr: String,
    host: HeaderValue,
    /// `None` while a request is under way, and after one was abandoned or lost or the other side closed.
    idle: Option<S>,
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
        Ok(Connection { addr: addr.to_owned(), host, idle: Some(stream) })
    }

    /// The address given at the beginning.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Can another request be sent? Looks whether the other side has closed the connection meanwhile.
    ///
    /// Nothing should come after an answer, so whatever comes (bytes, the end, an error) is the end of this connection,
    /// and its stream is let go. Nobody waits for it, so nobody has to be woken.
    pub fn is_usable(&mut self) -> bool {
        let mut byte = [0];
        let mut look = |stream: &mut S| {
            let context = &mut Context::from_waker(Waker::noop());
            Pin::new(stream).poll_read(context, &mut ReadBuf::new(&mut byte)).is_pending()
        };
        self.idle.take_if(|stream| !look(stream));
        self.idle.is_some()
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
        self.is_usable();
        let Some(stream) = self.idle.take() else { return Err(Failure::Unsent(Box::new(request))) };
        request.headers_mut().insert(header::HOST, self.host.clone());
        if let Some(id) = trace::current() {
            request.headers_mut().entry(trace::HEADER).or_insert(id);
        }
        let asked = story::http_request(&self.addr, &request);
        // Boxed: it holds hyper's state, and the futures around it are moved often.
        let result = timeout(within, Box::pin(exchange(stream, request))).await;
        if let Some(asked) = asked {
            story::http_answer(&asked, answered(&result));
        }
        match result {
            Ok(Ok((response, stream))) => {
                self.idle = stream;
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

/// The answer, or in a few words why there is none.
fn answered<S, T>(
    result: &Result<Result<(Response<Bytes>, S), Lost>, T>,
) -> Result<&Response<Bytes>, &'static str> {
    match result {
        Ok(Ok((response, _))) => Ok(response),
        Ok(Err(Lost::Unsent(_))) => Err("the connection was closed before it was sent"),
        Ok(Err(Lost::Unknown(_))) => Err("the connection was lost: no answer"),
        Err(_) => Err("no answer in time"),
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

/// hyper's half that moves the bytes; `None` once it has ended. Boxed, as the futures that hold it are moved.
struct Driver<S: AsyncRead + AsyncWrite + Unpin>(Option<Box<http1::Connection<TokioIo<S>, Full<Bytes>>>>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Driver<S> {
    /// Moves what can be moved. An error is not lost: the request under way gets it from hyper.
    fn poll(&mut self, waker: &Waker) {
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(&mut Context::from_waker(waker)).is_ready()
        {
            self.0 = None;
        }
    }

    /// Runs a future that waits for this connection alone.
    ///
    /// hyper's halves wake each other for every step (head, wish for the body, body), which in one task would only
    /// poll the whole task again for nothing. So they are polled in turn without a waker first; only if that did not
    /// bring the end, the connection is polled once more with the task's, which the stream then wakes.
    async fn drive<F: Future>(&mut self, mut future: Pin<&mut F>) -> F::Output {
        let nobody = Waker::noop();
        let mut sent = false;
        poll_fn(|context| {
            // At first there is only something to write; later there is a head and, once asked for, a body.
            let unwatched = if std::mem::replace(&mut sent, true) { 2 } else { 0 };
            for waker in iter::repeat_n(nobody, unwatched).chain([context.waker()]) {
                self.poll(waker);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(nobody)) {
                    return Poll::Ready(output);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The stream for the next request, if this connection stays open (after an answer that does not close it).
    fn park(mut self, sender: &http1::SendRequest<Full<Bytes>>) -> Option<S> {
        if !sender.is_ready() {
            // The end of the answer may not have been looked at yet.
            self.poll(Waker::noop());
        }
        let parts = self.0.filter(|_| sender.is_ready())?.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner())
    }
}

/// One request and its whole answer over a stream, which comes back if it can be used again.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Bytes>,
) -> Result<(Response<Bytes>, Option<S>), Lost> {
    let handshake = http1::Builder::new()
        // Flattens head and body into one buffer: one write, whatever the stream supports.
        .writev(false)
        .handshake(TokioIo::new(stream))
        .await;
    let Ok((mut sender, connection)) = handshake else { return Err(Lost::Unsent(Box::new(request))) };
    let mut driver = Driver(Some(Box::new(connection)));
    // A copy of the body comes back with the request: hyper's `Full` cannot be opened again. Bytes are shared.
    let body = request.body().clone();
    // Handed over before the driver is polled: a driver that waited for it would have to be woken.
    let head = sender.try_send_request(request.map(Full::new));
    let response = driver.drive(pin!(answer(head, body))).await?;
    Ok((response, driver.park(&sender)))
}

/// The whole answer, or the request (which had this body) if it was not written; the driver must be polled beside it.
async fn answer(
    head: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>>,
    body: Bytes,
) -> Result<Response<Bytes>, Lost> {
    let response = match head.await {
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
