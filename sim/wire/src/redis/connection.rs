//! One caller, one stream: commands are sent and their replies read, one exchange at a time.

use std::{io, time::Duration};

use bytes::BytesMut;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    error::{not_sent, reply_lost},
    frame::Decoder,
};

/// A connection over any stream.
///
/// It is *poisoned* as soon as a reply may still be on its way that nobody waits for: after a timeout, an io
/// error, or when the future of a command was dropped before it ended. A poisoned connection refuses every
/// further command (nothing is sent), because it could only answer with somebody else's reply.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    response_timeout: Option<Duration>,
    buffer: BytesMut,
    decoder: Decoder,
    /// Raised while an exchange is under way, lowered only when all its replies were read.
    poisoned: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// A connection that waits for a command's replies for at most `response_timeout`; without one, for ever (and
    /// without any use of the clock).
    pub fn new(stream: S, response_timeout: Option<Duration>) -> Self {
        Self {
            stream,
            response_timeout,
            buffer: BytesMut::new(),
            decoder: Decoder::default(),
            poisoned: false,
        }
    }

    /// Was a reply lost? Then this connection has to be replaced.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Sends encoded commands, reads all replies, drops the first `skip`.
    async fn exchange(&mut self, request: &[u8], skip: usize, keep: usize) -> RedisResult<Vec<Value>> {
        if self.poisoned {
            return Err(not_sent(io::ErrorKind::NotConnected, "an earlier reply was lost"));
        }
        self.poisoned = true;
        let response_timeout = self.response_timeout;
        let replies = self.write_and_read(request, skip, keep);
        let replies = match response_timeout {
            None => replies.await,
            Some(limit) => world::time::timeout(limit, replies)
                .await
                .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no reply in time"))),
        }
        .map_err(|error| reply_lost(error.kind(), error))?;
        self.poisoned = false;
        Ok(replies)
    }

    async fn write_and_read(&mut self, request: &[u8], skip: usize, keep: usize) -> io::Result<Vec<Value>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut replies = Vec::with_capacity(keep);
        let mut seen = 0;
        while seen < skip + keep {
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(Value::Push { .. })) => {}
                Ok(Some(reply)) => {
                    if seen >= skip {
                        replies.push(reply);
                    }
                    seen += 1;
                }
                Ok(None) => {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        Ok(replies)
    }
}

/// The only reply of a single command, with an error reply turned into an error.
pub(super) fn single(replies: Vec<Value>) -> RedisResult<Value> {
    match replies.into_iter().next() {
        Some(reply) => checked(reply),
        None => Err(reply_lost(io::ErrorKind::InvalidData, "no reply")),
    }
}

/// A reply, with an error reply turned into an error.
pub(super) fn checked(reply: Value) -> RedisResult<Value> {
    match reply {
        Value::ServerError(error) => Err(error.into()),
        value => Ok(value),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ConnectionLike for Connection<S> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move { single(self.exchange(&cmd.get_packed_command(), 0, 1).await?) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move { self.exchange(&pipeline.get_packed_pipeline(), offset, count).await })
    }

    fn get_db(&self) -> i64 {
        0
    }
}
