//! Datagrams arrive whole, or not at all, or twice, or late.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use crate::support::{LATENCY, ms, play, secs, simulate};
use world::net::{self, Impairment, Latency, UdpSocket};
use world::time::Instant;
use world::{host, task, time};

/// A host that sends every datagram back.
async fn echoing() -> host::Host {
    let server = host::add("server", || async {
        let socket = UdpSocket::bind("0.0.0.0:53").await.expect("free");
        let mut buffer = vec![0; 65_507];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..count], from).await.expect("sent");
        }
    });
    task::yield_now().await;
    server
}

#[test]
fn a_datagram_goes_there_and_back() {
    simulate(|| async {
        let server = echoing().await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("a free port");
        let start = Instant::now();
        assert_eq!(socket.send_to(b"ping", "server:53").await.expect("sent"), 4);
        let mut buffer = [0; 3];
        let (count, from) = socket.recv_from(&mut buffer).await.expect("echoed");
        assert_eq!((count, &buffer, from.ip(), from.port()), (3, b"pin", server.ip(), 53));
        assert_eq!(start.elapsed(), 2 * LATENCY);
        socket.connect("server:53").await.expect("known");
        assert_eq!(socket.peer_addr().expect("connected"), from);
        socket.send(b"").await.expect("sent");
        assert_eq!(socket.recv(&mut buffer).await.expect("echoed"), 0, "an empty datagram is one");
        assert_eq!(socket.local_addr().expect("open").ip(), host::current().ip());
    });
}

#[test]
fn sockets_fail_as_they_should() {
    simulate(|| async {
        let server = echoing().await;
        let socket = UdpSocket::bind("0.0.0.0:70").await.expect("free");
        let code = |result: std::io::Result<usize>| result.map_err(|error| error.raw_os_error());
        assert_eq!(UdpSocket::bind("0.0.0.0:70").await.expect_err("taken").kind(), ErrorKind::AddrInUse);
        let elsewhere = format!("{}:71", server.ip());
        assert_eq!(
            UdpSocket::bind(&elsewhere).await.expect_err("another host's").kind(),
            ErrorKind::AddrNotAvailable
        );
        assert_eq!(code(socket.send(b"x").await), Err(Some(libc::EDESTADDRREQ)));
        assert_eq!(code(socket.send_to(&[0; 65_508], "server:53").await), Err(Some(libc::EMSGSIZE)));
        assert_eq!(code(socket.send_to(&[0; 65_507], "server:53").await), Ok(65_507));
        assert_eq!(socket.send_to(b"x", "nobody:53").await.expect_err("unknown").kind(), ErrorKind::NotFound);
        assert_eq!(socket.peer_addr().expect_err("not connected").kind(), ErrorKind::NotConnected);
        drop(socket);
        UdpSocket::bind("0.0.0.0:70").await.expect("free again");
    });
}

#[test]
fn only_a_connected_socket_learns_that_nobody_listens() {
    simulate(|| async {
        echoing().await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("a free port");
        let mut buffer = [0; 8];
        socket.send_to(b"x", "server:99").await.expect("sent");
        assert!(time::timeout(secs(1), socket.recv(&mut buffer)).await.is_err(), "not connected: silence");
        socket.connect("server:99").await.expect("known");
        socket.send(b"x").await.expect("sent");
        let error = socket.recv(&mut buffer).await.expect_err("nobody listens");
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
        assert!(time::timeout(secs(1), socket.recv(&mut buffer)).await.is_err(), "reported once");
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    simulate(|| async {
        echoing().await;
        let socket = UdpSocket::bind("0.0.0.0:70").await.expect("free");
        let stranger = UdpSocket::bind("0.0.0.0:71").await.expect("free");
        socket.connect("server:53").await.expect("known");
        stranger.send_to(b"stranger", "localhost:70").await.expect("sent");
        socket.send(b"peer").await.expect("sent");
        let mut buffer = [0; 16];
        let count = socket.recv(&mut buffer).await.expect("echoed");
        assert_eq!(&buffer[..count], b"peer");
    });
}

/// Sends numbered datagrams a microsecond apart; returns the numbers in the order of their arrival.
fn numbers(seed: u64, impairment: Option<Impairment>) -> Vec<u16> {
    let outcome = play(seed, || async {
        let server = host::add("server", || async {});
        let receiver = server.spawn(async {
            let socket = UdpSocket::bind("0.0.0.0:53").await.expect("free");
            let (mut numbers, mut buffer) = (Vec::new(), [0; 2]);
            while let Ok(Ok(2)) = time::timeout(secs(1), socket.recv(&mut buffer)).await {
                numbers.push(u16::from_be_bytes(buffer));
            }
            numbers
        });
        let jitter = Latency::uniform(ms(1), ms(5));
        net::set_latency(host::current(), server, &jitter);
        if let Some(impairment) = impairment {
            net::impair(&[host::current()], &[server], impairment);
        }
        time::sleep(ms(1)).await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("a free port");
        for number in 0..1000_u16 {
            socket.send_to(&number.to_be_bytes(), "server:53").await.expect("sent");
            time::sleep(time::Duration::from_micros(50)).await;
        }
        receiver.await.expect("runs")
    });
    outcome.result.expect("ends")
}

#[test]
fn without_impairments_all_arrive_once_and_in_order() {
    assert_eq!(numbers(1, None), (0..1000).collect::<Vec<_>>());
}

#[test]
fn loss_loses_some_and_keeps_the_order() {
    let received = numbers(1, Some(Impairment::Loss(0.2)));
    assert!((700..900).contains(&received.len()), "{}", received.len());
    assert!(received.is_sorted());
    assert_eq!(received, numbers(1, Some(Impairment::Loss(0.2))), "the seed decides which");
    assert!(numbers(1, Some(Impairment::Loss(1.0))).is_empty());
    assert_eq!(numbers(1, Some(Impairment::Loss(f64::NAN))).len(), 1000);
}

#[test]
fn duplication_brings_some_twice() {
    let received = numbers(1, Some(Impairment::Duplicate(0.2)));
    assert!((1100..1300).contains(&received.len()), "{}", received.len());
    assert_eq!(received.iter().collect::<BTreeSet<_>>().len(), 1000);
}

#[test]
fn reordering_lets_later_ones_overtake() {
    let received = numbers(1, Some(Impairment::Reorder { probability: 0.1, by: Latency::constant(ms(10)) }));
    assert_eq!(received.len(), 1000);
    assert!(!received.is_sorted());
    let overtaken = received.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((30..=150).contains(&overtaken), "{overtaken}");
}

#[test]
fn partitions_drop_and_holds_delay() {
    simulate(|| async {
        let server = echoing().await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("a free port");
        let mut buffer = [0; 8];
        socket.send_to(b"in flight", "server:53").await.expect("sent");
        let partition = net::impair(&[host::current()], &[server], Impairment::Partition);
        socket.send_to(b"lost", "server:53").await.expect("sent");
        time::sleep(ms(5)).await;
        partition.heal();
        let hold = net::impair(&[host::current()], &[server], Impairment::Hold);
        socket.send_to(b"1", "server:53").await.expect("sent");
        socket.send_to(b"2", "server:53").await.expect("sent");
        assert!(time::timeout(secs(1), socket.recv(&mut buffer)).await.is_err());
        hold.heal();
        for expected in [b"1", b"2"] {
            let count = socket.recv(&mut buffer).await.expect("echoed");
            assert_eq!(&buffer[..count], expected);
        }
        server.crash();
        socket.send_to(b"x", "server:53").await.expect("sent");
        assert!(time::timeout(secs(1), socket.recv(&mut buffer)).await.is_err(), "a crashed host is silent");
    });
}

#[test]
fn a_receiver_that_does_not_read_loses_what_its_buffer_does_not_hold() {
    simulate(|| async {
        let server = host::add("server", || async {});
        let (sent, received) = (1000, 212_992 / (1000 + 768));
        let receiver = server.spawn(async {
            let socket = UdpSocket::bind("0.0.0.0:53").await.expect("free");
            time::sleep(secs(5)).await;
            let (mut count, mut buffer) = (0, [0; 1000]);
            while let Ok(Ok(1000)) = time::timeout(secs(1), socket.recv(&mut buffer)).await {
                count += 1;
            }
            count
        });
        time::sleep(ms(1)).await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("a free port");
        for _ in 0..sent {
            socket.send_to(&[0; 1000], "server:53").await.expect("sent");
        }
        assert_eq!(receiver.await.expect("runs"), received);
    });
}

#[test]
fn a_narrow_link_queues_a_megabyte_and_drops_the_rest() {
    simulate(|| async {
        let server = host::add("server", || async {});
        let receiver = server.spawn(async {
            let socket = UdpSocket::bind("0.0.0.0:53").await.expect("free");
            let (mut count, mut buffer) = (0, [0; 10_000]);
            while let Ok(Ok(10_000)) = time::timeout(secs(3), socket.recv(&mut buffer)).await {
                count += 1;
            }
            count
        });
        time::sleep(ms(1)).await;
        net::impair(&[host::current()], &[server], Impairment::Bandwidth(8_000_000));
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("a free port");
        for _ in 0..1000 {
            socket.send_to(&[0; 10_000], "server:53").await.expect("sent");
        }
        let received = receiver.await.expect("runs");
        assert!((99..=103).contains(&received), "{received}");
    });
}
