//! Streams.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::engines::EngineKind;
use world::net::{Keepalive, TcpListener, TcpStream};
use world::time::Instant;
use world::{host, task, time};

use crate::{Check, Seen, asks, echo, play, seen, serve};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("byte order", byte_order),
    ("addresses of streams", addresses),
    ("ports", ports),
    ("refused connections", refused),
    ("end of a stream", end_of_stream),
    ("half-close", half_close),
    ("reset", reset),
    ("back-pressure", back_pressure),
    ("pipelining", pipelining),
    ("unaccepted connections", unaccepted),
    ("user timeout and keepalive", probing),
];

#[test]
fn streams_conform() {
    crate::conform(CHECKS);
}

const PATIENCE: Duration = Duration::from_millis(500);

fn byte_order(engine: EngineKind) -> Seen {
    play(engine, || async {
        serve("server", echo).await;
        let stream = TcpStream::connect("server:80").await.expect("up");
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let expected = sent.clone();
        task::spawn(async move {
            for chunk in sent.chunks(12_345) {
                writer.write_all(chunk).await.expect("open");
            }
            std::future::pending::<()>().await;
        });
        let mut received = vec![0; expected.len()];
        reader.read_exact(&mut received).await.expect("echoed");
        if received == expected { Ok(()) } else { seen("bytes out of order") }
    })
}

fn addresses(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", |mut stream| async move {
            let text =
                format!("{} {};", stream.peer_addr().expect("open"), stream.local_addr().expect("open"));
            stream.write_all(text.as_bytes()).await.expect("open");
            std::future::pending::<()>().await;
        })
        .await;
        let mut stream = TcpStream::connect(&format!("{}:80", server.ip())).await.expect("up");
        let mut told = Vec::new();
        while !told.ends_with(b";") {
            told.push(stream.read_u8().await.expect("open"));
        }
        let (here, there) = (stream.local_addr().expect("open"), stream.peer_addr().expect("open"));
        let told = String::from_utf8(told).expect("text");
        let alike = told == format!("{here} {there};");
        if alike && here.ip() == host::current().ip() && there.ip() == server.ip() && there.port() == 80 {
            Ok(())
        } else {
            Err(format!("here {here}, there {there}, over there {told}"))
        }
    })
}

fn ports(engine: EngineKind) -> Seen {
    play(engine, || async {
        let first = TcpListener::bind("0.0.0.0:80").await.expect("free");
        let taken = TcpListener::bind("0.0.0.0:80").await.map(|_| ()).map_err(|error| error.kind());
        let any = TcpListener::bind("0.0.0.0:0").await.expect("free").local_addr().expect("bound");
        drop(first);
        let freed = TcpListener::bind("director:80").await.is_ok();
        if taken == Err(ErrorKind::AddrInUse) && freed && any.port() != 0 && any.ip() == host::current().ip()
        {
            Ok(())
        } else {
            Err(format!("{taken:?} {any} {freed}"))
        }
    })
}

fn refused(engine: EngineKind) -> Seen {
    play(engine, || async {
        host::add("idle", || async {});
        time::sleep(Duration::from_millis(20)).await;
        let kind =
            async |address| TcpStream::connect(address).await.map(|_| ()).map_err(|error| error.kind());
        let kinds =
            [kind("idle:80").await, kind("nobody:80").await, kind("10.9.9.9:80").await, kind("idle").await];
        let expected = [
            ErrorKind::ConnectionRefused,
            ErrorKind::NotFound,
            ErrorKind::HostUnreachable,
            ErrorKind::InvalidInput,
        ];
        if kinds == expected.map(Err) { Ok(()) } else { Err(format!("{kinds:?}")) }
    })
}

fn end_of_stream(engine: EngineKind) -> Seen {
    play(engine, || async {
        serve("server", |mut stream| async move {
            stream.write_all(b"goodbye").await.expect("open");
        })
        .await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let mut all = String::new();
        let read = time::timeout(PATIENCE, stream.read_to_string(&mut all)).await;
        if matches!(read, Ok(Ok(7))) && all == "goodbye" { Ok(()) } else { Err(format!("{read:?} {all:?}")) }
    })
}

fn half_close(engine: EngineKind) -> Seen {
    play(engine, || async {
        serve("server", |mut stream| async move {
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).await.is_ok() {
                all.reverse();
                stream.write_all(&all).await.expect("the client still reads");
            }
        })
        .await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        stream.write_all(b"abc").await.expect("open");
        stream.shutdown().await.expect("open");
        let refused = stream.write_all(b"more").await.map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::BrokenPipe), "our half is closed");
        let mut answer = Vec::new();
        match time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await {
            Ok(Ok(_)) if answer == b"cba" => Ok(()),
            Err(_) if answer.is_empty() => seen("the reader never learns that the other half was closed"),
            other => Err(format!("{other:?} {answer:?}")),
        }
    })
}

fn reset(engine: EngineKind) -> Seen {
    play(engine, || async {
        serve("server", |mut stream| async move {
            drop(stream.read_u8().await);
        })
        .await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        stream.write_all(b"more than is read").await.expect("open");
        match time::timeout(PATIENCE, stream.read_u8()).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => seen("an end instead of a reset"),
            other => Err(format!("{other:?}")),
        }
    })
}

fn back_pressure(engine: EngineKind) -> Seen {
    play(engine, || async {
        serve("server", |stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let much = vec![7; 32 << 20];
        if time::timeout(PATIENCE, stream.write_all(&much)).await.is_err() {
            return Ok(());
        }
        for _ in 0..10_000 {
            if time::timeout(PATIENCE, stream.write_all(b"x")).await.is_err() {
                return seen("a writer waits for the reader after 4096 writes, whatever their size");
            }
        }
        seen("a writer never waits for the reader")
    })
}

fn pipelining(engine: EngineKind) -> Seen {
    play(engine, || async {
        serve("server", echo).await;
        let stream = TcpStream::connect("server:80").await.expect("up");
        let (mut reader, mut writer) = tokio::io::split(stream);
        let start = Instant::now();
        let writing = task::spawn(async move {
            for _ in 0..200 {
                writer.write_all(b"x").await.expect("open");
            }
            writer
        });
        let mut answers = [0; 200];
        reader.read_exact(&mut answers).await.expect("echoed");
        drop(writing);
        match start.elapsed() {
            took if took < Duration::from_millis(50) => Ok(()),
            took if took > Duration::from_millis(200) => {
                seen("every message takes a millisecond, one after the other")
            }
            took => Err(format!("200 answers in {took:?}")),
        }
    })
}

fn unaccepted(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = host::add("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("free");
            time::sleep(Duration::from_millis(100)).await;
            drop(listener);
            std::future::pending::<()>().await;
        });
        time::sleep(Duration::from_millis(20)).await;
        let connected = time::timeout(PATIENCE, TcpStream::connect("server:80")).await;
        assert!(server.is_up());
        let mut stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                return seen("connected once accepted: refused when the listener closes");
            }
            other => return Err(format!("{other:?}")),
        };
        match time::timeout(PATIENCE, stream.read_u8()).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => seen("an end instead of a reset"),
            other => Err(format!("{other:?}")),
        }
    })
}

fn probing(engine: EngineKind) -> Seen {
    play(engine, || async {
        serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let results = [
            stream.set_user_timeout(Some(Duration::from_secs(5))),
            stream.set_keepalive(Some(Keepalive::default())),
        ];
        assert!(asks(&mut stream, PATIENCE).await);
        match results.map(|result| result.map_err(|error| error.kind())) {
            [Ok(()), Ok(())] => Ok(()),
            [Err(ErrorKind::Unsupported), Err(ErrorKind::Unsupported)] => {
                seen("both fail with `Unsupported`")
            }
            other => Err(format!("{other:?}")),
        }
    })
}
