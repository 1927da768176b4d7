//! Streams behave as TCP does for the services that use them.

use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::support::{LATENCY, echo, serve, simulate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::net::{self, Latency, TcpListener, TcpStream};
use world::sim::{self, Config};
use world::time::Instant;
use world::{host, task, time};

#[test]
fn a_round_trip_takes_two_latencies_and_so_does_the_handshake() {
    simulate(|| async {
        serve("server", echo);
        task::yield_now().await;
        let start = Instant::now();
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        assert_eq!(start.elapsed(), 2 * LATENCY);
        stream.write_all(b"ping").await.expect("open");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.expect("echoed");
        assert_eq!((&answer, start.elapsed()), (b"ping", 4 * LATENCY));
        assert_eq!(stream.peer_addr().expect("open").port(), 80);
    });
}

#[test]
fn what_is_delivered_is_counted_by_link() {
    let outcome = sim::run(Config::new(1), || async {
        serve("server", echo);
        task::yield_now().await;
        assert_eq!(net::delivered().unwrap_or_default(), (0, 0));
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        stream.write_all(b"ping").await.expect("open");
        stream.read_exact(&mut [0; 4]).await.expect("echoed");
        let socket = net::UdpSocket::bind("0.0.0.0:9").await.expect("free");
        socket.send_to(b"datagram", "server:9").await.expect("sent");
        time::sleep(2 * LATENCY).await;
        (net::traffic(), net::delivered())
    });
    let (traffic, delivered) = outcome.result.expect("to its end");
    let by_link: Vec<_> = traffic
        .iter()
        .filter(|link| link.messages > 0)
        .map(|link| (link.from < link.to, link.bytes))
        .collect();
    // The director was there first: what goes to the server, and what comes back (an echo, and that nobody listens).
    assert_eq!(by_link, [(true, 12), (false, 4)], "{traffic:?}");
    assert_eq!(delivered, Some((outcome.messages, 16)));
    assert_eq!(traffic.iter().map(|link| link.messages).sum::<u64>(), outcome.messages);
}

#[test]
fn connecting_fails_as_it_should() {
    simulate(|| async {
        host::add("idle", || async {});
        let kind = |result: io::Result<TcpStream>| result.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(kind(TcpStream::connect("idle:80").await), Err(ErrorKind::ConnectionRefused));
        assert_eq!(kind(TcpStream::connect("nobody:80").await), Err(ErrorKind::NotFound));
        assert_eq!(kind(TcpStream::connect("10.9.9.9:80").await), Err(ErrorKind::HostUnreachable));
        assert_eq!(kind(TcpStream::connect("idle").await), Err(ErrorKind::InvalidInput));
        assert_eq!(kind(TcpStream::connect("idle:99999").await), Err(ErrorKind::InvalidInput));
    });
}

#[test]
fn binding_fails_as_it_should() {
    simulate(|| async {
        let idle = host::add("idle", || async {});
        let first = TcpListener::bind("0.0.0.0:80").await.expect("free");
        let kind = |result: io::Result<TcpListener>| result.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(kind(TcpListener::bind("0.0.0.0:80").await), Err(ErrorKind::AddrInUse));
        let elsewhere = format!("{}:81", idle.ip());
        assert_eq!(kind(TcpListener::bind(&elsewhere).await), Err(ErrorKind::AddrNotAvailable));
        drop(first);
        assert_eq!(kind(TcpListener::bind("director:80").await), Ok(()));
    });
}

#[test]
fn half_close_lets_the_other_half_go_on() {
    simulate(|| async {
        serve("server", |mut stream| async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("a clean end");
            all.reverse();
            stream.write_all(&all).await.expect("the client still reads");
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        stream.write_all(b"abc").await.expect("open");
        stream.shutdown().await.expect("open");
        let refused = stream.write_all(b"more").await.expect_err("our half is closed");
        assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("a clean end");
        assert_eq!(answer, b"cba");
    });
}

#[test]
fn a_writer_waits_for_a_slow_reader() {
    simulate(|| async {
        serve("server", |stream| async move {
            time::sleep(Duration::from_secs(10)).await;
            echo(stream).await;
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let megabyte = vec![7; 1 << 20];
        let early = time::timeout(Duration::from_secs(5), stream.write_all(&megabyte)).await;
        assert!(early.is_err(), "a megabyte does not fit into the window of a reader who does not read");
    });
}

#[test]
fn bytes_arrive_whole_and_in_order() {
    let outcome = sim::run(Config::new(11), || async {
        serve("server", echo);
        task::yield_now().await;
        let stream = TcpStream::connect("server:80").await.expect("up");
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent: Vec<u8> = (0..2_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let expected = sent.clone();
        let sending = task::spawn(async move {
            for chunk in sent.chunks(12_345) {
                writer.write_all(chunk).await.expect("open");
            }
            writer.shutdown().await.expect("open");
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.expect("a clean end");
        sending.await.expect("sent");
        received == expected
    });
    assert_eq!(outcome.result, Ok(true));
}

#[test]
fn a_kill_resets_the_peers_and_refuses_newcomers_until_boot() {
    simulate(|| async {
        let server = serve("server", echo);
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        stream.write_all(b"x").await.expect("open");
        stream.read_u8().await.expect("echoed");
        let start = Instant::now();
        server.kill();
        let error = stream.read_u8().await.expect_err("the peer is gone");
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::ConnectionReset, LATENCY));
        assert_eq!(stream.write_all(b"x").await.expect_err("gone").kind(), ErrorKind::BrokenPipe);
        let refused = TcpStream::connect("server:80").await.expect_err("down");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        server.boot();
        task::yield_now().await;
        time::sleep(LATENCY).await;
        TcpStream::connect("server:80").await.expect("up again");
    });
}

#[test]
fn leaving_bytes_unread_resets_the_peer() {
    simulate(|| async {
        serve("server", |mut stream| async move {
            stream.write_all(b"hello").await.expect("open");
            time::sleep(Duration::from_millis(50)).await;
            let error = stream.read_u8().await.expect_err("the client left");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        });
        task::yield_now().await;
        let stream = TcpStream::connect("server:80").await.expect("up");
        time::sleep(Duration::from_millis(10)).await;
        drop(stream);
        time::sleep(Duration::from_millis(100)).await;
    });
}

#[test]
fn what_was_sent_before_a_close_still_arrives() {
    simulate(|| async {
        serve("server", |mut stream| async move {
            stream.write_all(b"goodbye").await.expect("open");
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let mut all = String::new();
        stream.read_to_string(&mut all).await.expect("a clean end");
        assert_eq!(all, "goodbye");
    });
}

#[test]
fn unaccepted_connections_die_with_their_listener() {
    simulate(|| async {
        let server = host::add("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("free");
            time::sleep(Duration::from_secs(1)).await;
            drop(listener);
            std::future::pending::<()>().await;
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("the backlog takes it");
        let error = stream.read_u8().await.expect_err("never accepted");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(server.is_up());
    });
}

#[test]
fn latency_can_be_set_for_a_link() {
    simulate(|| async {
        let server = serve("server", echo);
        task::yield_now().await;
        net::set_latency(host::current(), server, &Latency::constant(Duration::from_millis(40)));
        let start = Instant::now();
        TcpStream::connect("server:80").await.expect("up");
        assert_eq!(start.elapsed(), Duration::from_millis(80));
    });
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever the sizes of writes and reads: the bytes that arrive are the bytes that were sent.
    #[test]
    fn a_stream_is_a_queue_of_bytes(
        seed: u64,
        writes in proptest::collection::vec(1_usize..70_000, 1..20),
        read_size in 1_usize..50_000,
        pause_us in 0_u64..3_000,
    ) {
        let outcome = sim::run(Config::new(seed), move || async move {
            let total: usize = writes.iter().sum();
            serve("server", move |mut stream| {
                let writes = writes.clone();
                async move {
                    let mut next = 0_u32;
                    for size in writes {
                        let bytes: Vec<u8> = (0..size).map(|i| (next as usize + i) as u8).collect();
                        next = next.wrapping_add(size as u32);
                        stream.write_all(&bytes).await.expect("open");
                    }
                }
            });
            task::yield_now().await;
            time::sleep(Duration::from_millis(1)).await;
            let mut stream = TcpStream::connect("server:80").await.expect("up");
            let (mut received, mut buffer) = (0_usize, vec![0; read_size]);
            loop {
                time::sleep(Duration::from_micros(pause_us)).await;
                let count = stream.read(&mut buffer).await.expect("no reset");
                if count == 0 {
                    return received == total;
                }
                if buffer[..count].iter().enumerate().any(|(i, byte)| *byte != (received + i) as u8) {
                    return false;
                }
                received += count;
            }
        });
        proptest::prop_assert_eq!(outcome.result, Ok(true));
    }
}
