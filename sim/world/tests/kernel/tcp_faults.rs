//! What a service sees of its streams while links and machines fail: what Linux would show it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{LATENCY, connected, echo, ms, play, secs, serve, simulate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::net::{self, Impairment, Keepalive, TcpListener, TcpStream};
use world::time::Instant;
use world::{host, task, time};

fn here() -> host::Host {
    host::current()
}

#[test]
fn a_healed_partition_costs_time_and_no_bytes() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let start = Instant::now();
        let partition = net::impair_both(&[here()], &[server], Impairment::Partition);
        stream.write_all(b"hello").await.expect("the window takes it");
        time::sleep(secs(5)).await;
        partition.heal();
        stream.write_all(b" world").await.expect("the window takes it");
        let mut answer = [0; 11];
        stream.read_exact(&mut answer).await.expect("echoed");
        assert_eq!(&answer, b"hello world");
        // Timeouts of 0.2 s and a round trip, doubled each time: the first after 5 s is at 6.26 s.
        assert!((ms(6_200)..ms(6_400)).contains(&start.elapsed()), "{:?}", start.elapsed());
        // Nothing is left of it.
        let start = Instant::now();
        stream.write_all(b"y").await.expect("open");
        stream.read_u8().await.expect("echoed");
        assert_eq!(start.elapsed(), 2 * LATENCY);
    });
}

#[test]
fn segments_in_flight_are_lost_in_a_partition_too() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let start = Instant::now();
        stream.write_all(b"a").await.expect("open");
        let partition = net::impair_both(&[here()], &[server], Impairment::Partition);
        time::sleep(2 * LATENCY).await;
        partition.heal();
        stream.read_u8().await.expect("echoed");
        assert!(start.elapsed() > ms(200), "{:?}", start.elapsed());
    });
}

#[test]
fn a_write_is_given_up_when_retransmission_is() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        net::impair_both(&[here()], &[server], Impairment::Partition);
        let start = Instant::now();
        stream.write_all(b"a").await.expect("the window takes it");
        let error = stream.read_u8().await.expect_err("nobody acknowledges");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::TimedOut, Some(libc::ETIMEDOUT)));
        // tcp_retries2 = 15: the first timeout after 924.6 s.
        assert!((secs(924)..secs(1050)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(stream.write_all(b"b").await.expect_err("over").kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_user_timeout_is_kept_to_the_nanosecond() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        stream.set_user_timeout(Some(secs(7))).expect("set");
        net::impair_both(&[here()], &[server], Impairment::Partition);
        let start = Instant::now();
        stream.write_all(b"a").await.expect("the window takes it");
        let error = stream.read_u8().await.expect_err("nobody acknowledges");
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::TimedOut, secs(7)));
    });
}

#[test]
fn connecting_through_a_partition_takes_as_many_requests_as_on_linux() {
    simulate(|| async {
        let server = serve("server", echo);
        task::yield_now().await;
        for (heal_after, connected_after) in [(500, 1_000), (1_500, 3_000), (10_000, 15_000)] {
            let partition = net::impair_both(&[here()], &[server], Impairment::Partition);
            let start = Instant::now();
            let connecting = task::spawn(TcpStream::connect("server:80"));
            time::sleep(ms(heal_after)).await;
            partition.heal();
            connecting.await.expect("runs").expect("healed in time");
            assert_eq!(start.elapsed(), ms(connected_after) + 2 * LATENCY);
        }
        net::impair(&[server], &[here()], Impairment::Partition);
        let start = Instant::now();
        let error = TcpStream::connect("server:80").await.expect_err("no answer");
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::TimedOut, secs(127)));
    });
}

#[test]
fn one_way_the_data_arrives_and_the_writer_does_not_know() {
    simulate(|| async {
        static READ: AtomicUsize = AtomicUsize::new(0);
        let server = serve("server", |mut stream| async move {
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                READ.fetch_add(count, Ordering::Relaxed);
            }
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        stream.write_all(&[0; 1000]).await.expect("open");
        time::sleep(ms(10)).await;
        net::impair(&[server], &[here()], Impairment::Partition);
        let start = Instant::now();
        let error = stream.write_all(&vec![0; 1 << 20]).await.expect_err("no acknowledgement, no window");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() > secs(900), "{:?}", start.elapsed());
        assert_eq!(READ.load(Ordering::Relaxed), 1000 + 256 * 1024, "a window full, and all of it was read");
    });
}

#[test]
fn a_window_that_opens_unheard_of_is_found_by_probing() {
    simulate(|| async {
        let server = serve("server", |mut stream| async move {
            time::sleep(secs(10)).await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("a clean end");
            assert_eq!(all.len(), 1 << 20);
            stream.write_all(b"y").await.expect("open");
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let start = Instant::now();
        let writing = task::spawn(async move {
            stream.write_all(&vec![7; 1 << 20]).await.expect("healed");
            stream.shutdown().await.expect("open");
            stream.read_u8().await.expect("all arrived");
        });
        // The writer waits for window; news of it is lost.
        time::sleep(secs(9)).await;
        let partition = net::impair(&[server], &[here()], Impairment::Partition);
        time::sleep(secs(3)).await;
        partition.heal();
        writing.await.expect("runs");
        assert!((secs(12)..secs(40)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn news_of_window_on_its_way_is_lost_in_a_partition() {
    simulate(|| async {
        let server = serve("server", |mut stream| async move {
            time::sleep(secs(1)).await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("a clean end");
            assert_eq!(all.len(), 256 * 1024 + 1);
            stream.write_all(b"y").await.expect("open");
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let writing = task::spawn(async move {
            stream.write_all(&[7; 256 * 1024 + 1]).await.expect("healed");
            stream.shutdown().await.expect("open");
            stream.read_u8().await.expect("all arrived");
        });
        // The server has read, and says so; the partition begins before that arrives.
        time::sleep(secs(1) + LATENCY + LATENCY / 2).await;
        let partition = net::impair_both(&[here()], &[server], Impairment::Partition);
        time::sleep(LATENCY).await;
        partition.heal();
        time::timeout(secs(10), writing).await.expect("the writer probes").expect("runs");
    });
}

#[test]
fn what_is_held_arrives_in_order_on_release() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let hold = net::impair(&[here()], &[server], Impairment::Hold);
        for byte in b"abc" {
            stream.write_all(&[*byte]).await.expect("open");
            time::sleep(ms(10)).await;
        }
        assert!(time::timeout(ms(50), stream.read_u8()).await.is_err(), "held");
        let start = Instant::now();
        hold.heal();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await.expect("echoed");
        assert_eq!((&answer, start.elapsed()), (b"abc", LATENCY));
    });
}

#[test]
fn what_is_held_under_a_partition_is_dropped_and_sent_again() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let hold = net::impair(&[here()], &[server], Impairment::Hold);
        stream.write_all(b"a").await.expect("open");
        time::sleep(ms(10)).await;
        let partition = net::impair(&[here()], &[server], Impairment::Partition);
        hold.heal();
        time::sleep(ms(10)).await;
        partition.heal();
        assert_eq!(stream.read_u8().await.expect("echoed"), b'a');
    });
}

#[test]
fn a_held_connection_is_given_up_like_any_other() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        stream.set_user_timeout(Some(secs(3))).expect("set");
        let hold = net::impair(&[here()], &[server], Impairment::Hold);
        stream.write_all(b"a").await.expect("open");
        assert_eq!(stream.read_u8().await.expect_err("held").kind(), ErrorKind::TimedOut);
        hold.heal();
    });
}

#[test]
fn overlapping_impairments_heal_one_by_one() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let first = net::impair_both(&[here()], &[server], Impairment::Partition);
        let second = net::impair(&[here()], &[server], Impairment::Partition);
        let slow = net::impair(&[server], &[here()], Impairment::Delay(net::Latency::constant(ms(30))));
        first.heal();
        stream.write_all(b"a").await.expect("open");
        assert!(time::timeout(secs(1), stream.read_u8()).await.is_err(), "the second still cuts");
        second.heal();
        stream.read_u8().await.expect("echoed");
        let start = Instant::now();
        stream.write_all(b"a").await.expect("open");
        stream.read_u8().await.expect("echoed");
        assert_eq!(start.elapsed(), 2 * LATENCY + ms(30));
        slow.heal();
        slow.heal();
        let start = Instant::now();
        stream.write_all(b"a").await.expect("open");
        stream.read_u8().await.expect("echoed");
        assert_eq!(start.elapsed(), 2 * LATENCY);
    });
}

#[test]
fn partitions_cut_between_their_sets_only() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let other = serve("other", echo);
        time::sleep(ms(10)).await;
        net::impair_both(&[here(), other], &[other, server], Impairment::Partition);
        assert!(time::timeout(secs(1), TcpStream::connect("other:80")).await.is_err());
        net::heal_all();
        net::impair_both(&[other], &[server], Impairment::Partition);
        stream.write_all(b"a").await.expect("open");
        let start = Instant::now();
        stream.read_u8().await.expect("echoed");
        assert_eq!(start.elapsed(), 2 * LATENCY);
        TcpStream::connect("other:80").await.expect("not cut");
    });
}

#[test]
fn a_lossy_link_loses_time_and_no_bytes() {
    let outcome = play(3, || async {
        let (server, stream) = connected().await;
        net::impair_both(&[here()], &[server], Impairment::Loss(0.1));
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent: Vec<u8> = (0..500_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let expected = sent.clone();
        task::spawn(async move {
            writer.write_all(&sent).await.expect("open");
            writer.shutdown().await.expect("open");
        });
        let start = Instant::now();
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.expect("a clean end");
        assert!(received == expected);
        start.elapsed()
    });
    let took = outcome.result.expect("ends");
    assert!((ms(10)..secs(60)).contains(&took), "{took:?}");
}

#[test]
fn a_lost_segment_is_sent_again_as_soon_as_a_later_one_is_acknowledged() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let start = Instant::now();
        let partition = net::impair(&[here()], &[server], Impairment::Partition);
        stream.write_all(b"a").await.expect("open");
        partition.heal();
        stream.write_all(b"b").await.expect("open");
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await.expect("echoed");
        // There and back for the news, there and back for the answer; no timeout of 200 ms.
        assert_eq!((&answer, start.elapsed()), (b"ab", 4 * LATENCY));
    });
}

#[test]
fn a_narrow_link_takes_its_time_and_is_shared() {
    simulate(|| async {
        let server = serve("server", |mut stream| async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("a clean end");
        });
        task::yield_now().await;
        net::impair(&[here()], &[server], Impairment::Bandwidth(8_000_000));
        let start = Instant::now();
        let streams: Vec<_> = (0..2)
            .map(|_| {
                task::spawn(async {
                    let mut stream = TcpStream::connect("server:80").await.expect("up");
                    stream.write_all(&[0; 500_000]).await.expect("open");
                    stream.shutdown().await.expect("open");
                    stream.read_to_end(&mut Vec::new()).await.expect("a clean end");
                })
            })
            .collect();
        for stream in streams {
            stream.await.expect("runs");
        }
        // A megabyte at a megabyte per second, and 4.6 % for headers.
        assert!((ms(1_000)..ms(1_100)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_killed_peer_resets_at_once_and_refuses() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let start = Instant::now();
        server.kill();
        let error = stream.read_u8().await.expect_err("reset");
        assert_eq!((error.raw_os_error(), start.elapsed()), (Some(libc::ECONNRESET), LATENCY));
        let error = TcpStream::connect("server:80").await.expect_err("nobody listens");
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    });
}

#[test]
fn a_peer_killed_behind_a_partition_resets_once_it_can_be_reached() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let partition = net::impair_both(&[here()], &[server], Impairment::Partition);
        server.kill();
        time::sleep(ms(10)).await;
        partition.heal();
        assert!(time::timeout(secs(3600), stream.read_u8()).await.is_err(), "nothing is sent: silence");
        stream.write_all(b"a").await.expect("open as far as anybody knows here");
        let start = Instant::now();
        let error = stream.read_u8().await.expect_err("reset");
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::ConnectionReset, 2 * LATENCY));
    });
}

#[test]
fn a_crashed_peer_is_silent_until_it_boots() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        server.crash();
        let start = Instant::now();
        stream.write_all(b"a").await.expect("open as far as anybody knows here");
        assert!(time::timeout(secs(5), stream.read_u8()).await.is_err(), "silence");
        assert!(time::timeout(secs(5), TcpStream::connect("server:80")).await.is_err(), "silence");
        server.boot();
        let error = stream.read_u8().await.expect_err("the next retransmission is answered by a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!((secs(10)..secs(20)).contains(&start.elapsed()), "{:?}", start.elapsed());
        TcpStream::connect("server:80").await.expect("up again");
        server.crash();
        let start = Instant::now();
        let error = TcpStream::connect("server:80").await.expect_err("silence");
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::TimedOut, secs(127)));
    });
}

#[test]
fn keepalive_finds_a_silent_peer_and_spares_a_living_one() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        let keepalive = Keepalive { idle: secs(10), interval: secs(2), probes: 3 };
        stream.set_keepalive(Some(keepalive)).expect("set");
        assert!(time::timeout(secs(3600), stream.read_u8()).await.is_err(), "alive and silent");
        server.crash();
        let start = Instant::now();
        let error = stream.read_u8().await.expect_err("no probe is answered");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // Up to ten seconds to the first probe, three probes, two seconds each.
        assert!((secs(6)..=secs(17)).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn keepalive_is_answered_by_a_reset_after_a_boot() {
    simulate(|| async {
        let (server, mut stream) = connected().await;
        stream.set_keepalive(Some(Keepalive { idle: secs(10), ..Keepalive::default() })).expect("set");
        server.crash();
        server.boot();
        let error = stream.read_u8().await.expect_err("nobody knows of it");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_reset_storm_ends_connections_at_both_ends() {
    simulate(|| async {
        static SEEN: AtomicUsize = AtomicUsize::new(0);
        let server = serve("server", |mut stream| async move {
            let error = stream.read_u8().await.expect_err("reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            SEEN.fetch_add(1, Ordering::Relaxed);
        });
        task::yield_now().await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(TcpStream::connect("server:80").await.expect("up"));
        }
        time::sleep(ms(10)).await;
        assert_eq!(net::reset_connections(&[server], &[here()]), 5);
        for stream in &mut streams {
            assert_eq!(stream.read_u8().await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
        }
        time::sleep(ms(10)).await;
        assert_eq!(SEEN.load(Ordering::Relaxed), 5);
        assert_eq!(net::reset_connections(&[server], &[here()]), 0);
    });
}

#[test]
fn a_full_backlog_delays_connections_and_refuses_none() {
    simulate(|| async {
        host::add("server", || async {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("free");
            time::sleep(secs(2)).await;
            while let Ok((stream, _)) = listener.accept().await {
                task::spawn(echo(stream));
            }
        });
        task::yield_now().await;
        let late = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..5000)
            .map(|_| {
                let late = Arc::clone(&late);
                task::spawn(async move {
                    let start = Instant::now();
                    let mut stream = TcpStream::connect("server:80").await.expect("in the end");
                    stream.write_all(b"x").await.expect("open");
                    stream.read_u8().await.expect("accepted and echoed");
                    late.fetch_add(usize::from(start.elapsed() > ms(2_100)), Ordering::Relaxed);
                })
            })
            .collect();
        for client in clients {
            client.await.expect("runs");
        }
        assert_eq!(late.load(Ordering::Relaxed), 5000 - 4096);
    });
}

#[test]
fn a_server_accepts_when_the_handshake_is_over() {
    simulate(|| async {
        let start = Instant::now();
        let server = host::add("server", move || async move {
            let listener = TcpListener::bind("0.0.0.0:80").await.expect("free");
            let (mut stream, _) = listener.accept().await.expect("connected");
            assert_eq!(start.elapsed(), 3 * LATENCY);
            stream.write_all(b"hello").await.expect("open");
        });
        task::yield_now().await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        stream.read_u8().await.expect("the server speaks first");
        assert_eq!(start.elapsed(), 4 * LATENCY);
        assert!(server.is_up());
    });
}

#[test]
fn a_client_gone_before_the_handshake_is_over_is_never_accepted() {
    simulate(|| async {
        let server = serve("server", |_| async { panic!("accepted") });
        task::yield_now().await;
        let late: Result<_, _> = time::timeout(LATENCY + LATENCY / 2, TcpStream::connect("server:80")).await;
        assert!(late.is_err());
        time::sleep(secs(10)).await;
        assert!(server.is_up());
    });
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let run = |seed| {
        play(seed, || async {
            let (server, mut stream) = connected().await;
            net::impair_both(&[here()], &[server], Impairment::Loss(0.3));
            let start = Instant::now();
            for _ in 0..50 {
                stream.write_all(&[1; 5_000]).await.expect("open");
                stream.read_exact(&mut [0; 5_000]).await.expect("echoed");
            }
            start.elapsed()
        })
    };
    let (first, again, other) = (run(1), run(1), run(2));
    assert_eq!((first.fingerprint, first.result.clone()), (again.fingerprint, again.result));
    assert_ne!(first.fingerprint, other.fingerprint);
    assert_ne!(first.result, other.result);
}

#[test]
fn a_fault_shows_in_the_fingerprint() {
    let run = |faulty: bool| {
        play(1, move || async move {
            let server = serve("server", echo);
            if faulty {
                net::impair(&[here()], &[server], Impairment::Loss(0.5)).heal();
            }
            time::sleep(Duration::from_secs(1)).await;
        })
        .fingerprint
    };
    assert_ne!(run(true), run(false));
}
