//! Requests and replies of a fixed size, over any stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a request, and of a reply.
const FRAME_BYTES: usize = 100;

/// Answers every request with its own bytes until the stream ends, in whichever way.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut frame = [0; FRAME_BYTES];
    while stream.read_exact(&mut frame).await.is_ok() && send(&mut stream, &frame).await.is_ok() {}
}

/// Sends so many requests on a stream, then closes it.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, requests: u64) {
    ask_on(&mut stream, requests).await;
}

/// Sends so many requests, each after the reply to the one before.
///
/// # Panics
/// When the stream breaks or a reply is not what was sent.
pub(crate) async fn ask_on<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, requests: u64) {
    let (mut request, mut reply) = ([0; FRAME_BYTES], [0; FRAME_BYTES]);
    for number in 0..requests {
        request[..8].copy_from_slice(&number.to_le_bytes());
        send(stream, &request).await.expect("the server reads");
        stream.read_exact(&mut reply).await.expect("the server answers");
        assert_eq!(request, reply, "the reply to another request");
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame).await?;
    // Needed on madsim only, which sends nothing before.
    stream.flush().await
}
