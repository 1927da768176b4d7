//! Faults of links, and datagrams.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::engines::EngineKind;
use world::host::{self, Host};
use world::net::{self, Impairment, Latency, TcpStream, UdpSocket};
use world::time;

use crate::{Check, Seen, asks, echo, play, seen, serve, unsupported};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("datagrams", datagrams),
    ("datagrams to nobody", datagrams_to_nobody),
    ("partition", partition),
    ("partition: streams go on when healed", healed),
    ("partition: connecting", connect_across),
    ("partition in one direction", one_way),
    ("hold and release", hold),
    ("delay", delay),
    ("loss of datagrams", loss),
    ("loss on streams", loss_on_streams),
    ("duplication", duplication),
    ("reordering", reordering),
    ("bandwidth", bandwidth),
    ("reset storm", reset_storm),
];

#[test]
fn links_conform() {
    crate::conform(CHECKS);
}

const PATIENCE: Duration = Duration::from_millis(500);
const UNSUPPORTED: &str = "unsupported, and the outcome says so";

/// Both directions between the director and another host.
fn impair(other: Host, impairment: Impairment) -> net::Impaired {
    net::impair_both(&[host::current()], &[other], impairment)
}

/// Time for turmoil to learn of it.
async fn settle() {
    time::sleep(Duration::from_millis(3)).await;
}

/// Adds a host that sends datagrams back.
async fn mirror(name: &'static str) -> Host {
    let host = host::add(name, || async {
        let socket = UdpSocket::bind("0.0.0.0:53").await.expect("free");
        let mut buffer = [0; 1024];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..count], from).await.expect("sends");
        }
    });
    time::sleep(Duration::from_millis(20)).await;
    host
}

/// Sends datagrams to a mirror; which of them come back, in which order.
async fn sent_back(count: u8) -> Vec<u8> {
    let socket = UdpSocket::bind("0.0.0.0:0").await.expect("free");
    for number in 0..count {
        socket.send_to(&[number], "mirror:53").await.expect("sends");
    }
    let (mut back, mut buffer) = (Vec::new(), [0; 16]);
    while let Ok(Ok((1, _))) = time::timeout(Duration::from_millis(100), socket.recv_from(&mut buffer)).await
    {
        back.push(buffer[0]);
    }
    back
}

fn datagrams(engine: EngineKind) -> Seen {
    play(engine, || async {
        let mirror = mirror("mirror").await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("free");
        socket.connect("mirror:53").await.expect("known");
        let long: Vec<u8> = (0..1000).map(|i| i as u8).collect();
        assert_eq!(socket.send(&long).await.expect("sends"), 1000);
        let mut buffer = [0; 2000];
        let (count, from) =
            time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("comes").expect("is read");
        let whole = buffer[..count] == long && from.ip() == mirror.ip() && from.port() == 53;
        let mut back = sent_back(20).await;
        back.sort_unstable();
        if whole && back == (0..20).collect::<Vec<u8>>() {
            Ok(())
        } else {
            Err(format!("{count} {from} {back:?}"))
        }
    })
}

fn datagrams_to_nobody(engine: EngineKind) -> Seen {
    play(engine, || async {
        host::add("idle", || async {});
        time::sleep(Duration::from_millis(20)).await;
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("free");
        socket.connect("idle:53").await.expect("known");
        socket.send(b"x").await.expect("sends");
        match time::timeout(PATIENCE, socket.recv(&mut [0])).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(_) => seen("nothing is heard"),
            other => Err(format!("{other:?}")),
        }
    })
}

fn partition(engine: EngineKind) -> Seen {
    play(engine, || async {
        let mirror = mirror("mirror").await;
        let impaired = impair(mirror, Impairment::Partition);
        settle().await;
        let during = sent_back(5).await;
        impaired.heal();
        settle().await;
        let mut after = sent_back(5).await;
        after.sort_unstable();
        let whole = [0, 1, 2, 3, 4];
        match (during.as_slice(), after.as_slice()) {
            ([], after) if after == whole => Ok(()),
            (during, after) if during.len() == 5 && after == whole => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn healed(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        assert!(asks(&mut stream, PATIENCE).await);
        let impaired = impair(server, Impairment::Partition);
        settle().await;
        if asks(&mut stream, PATIENCE).await {
            impaired.heal();
            return seen(UNSUPPORTED);
        }
        time::sleep(Duration::from_secs(5)).await;
        impaired.heal();
        let late = time::timeout(Duration::from_secs(60), stream.read_u8()).await;
        match late {
            Ok(Ok(b'x')) => Ok(()),
            Err(_) if !asks(&mut stream, Duration::from_secs(60)).await => {
                seen("what was lost is never sent again: the stream is dead, without an error")
            }
            other => Err(format!("{other:?}")),
        }
    })
}

fn connect_across(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        impair(server, Impairment::Partition);
        settle().await;
        match time::timeout(PATIENCE, TcpStream::connect("server:80")).await {
            Err(_) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => seen("refused at once"),
            Ok(Ok(_)) => seen(UNSUPPORTED),
            other => Err(format!("{other:?}")),
        }
    })
}

fn one_way(engine: EngineKind) -> Seen {
    play(engine, || async {
        let mirror = mirror("mirror").await;
        let here = UdpSocket::bind("0.0.0.0:99").await.expect("free");
        let from_there = async || {
            let told = mirror.spawn(async {
                let socket = UdpSocket::bind("0.0.0.0:0").await.expect("free");
                socket.send_to(b"x", "director:99").await.expect("sends");
            });
            told.await.expect("up");
            time::timeout(Duration::from_millis(100), here.recv(&mut [0])).await.is_ok()
        };
        net::impair(&[mirror], &[host::current()], Impairment::Partition);
        settle().await;
        let to_here = from_there().await;
        net::heal_all();
        net::impair(&[host::current()], &[mirror], Impairment::Partition);
        settle().await;
        match (to_here, from_there().await, sent_back(3).await.len()) {
            (false, true, 0) => Ok(()),
            (true, true, 3) => seen(UNSUPPORTED),
            other => Err(format!("{other:?}")),
        }
    })
}

fn hold(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let held = impair(server, Impairment::Hold);
        settle().await;
        if asks(&mut stream, PATIENCE).await {
            held.heal();
            return seen(UNSUPPORTED);
        }
        held.heal();
        match time::timeout(PATIENCE, stream.read_u8()).await {
            Ok(Ok(b'x')) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn delay(engine: EngineKind) -> Seen {
    play(engine, || async {
        let mirror = mirror("mirror").await;
        let by = Latency::constant(Duration::from_millis(30));
        impair(mirror, Impairment::Delay(by));
        settle().await;
        let start = time::Instant::now();
        let socket = UdpSocket::bind("0.0.0.0:0").await.expect("free");
        socket.send_to(b"x", "mirror:53").await.expect("sends");
        socket.recv(&mut [0]).await.expect("comes back");
        let took = start.elapsed();
        match took {
            took if took >= Duration::from_millis(60) && took < Duration::from_millis(70) => Ok(()),
            took if took < Duration::from_millis(30) => seen(UNSUPPORTED),
            took => Err(format!("{took:?}")),
        }
    })
}

fn loss(engine: EngineKind) -> Seen {
    play(engine, || async {
        let mirror = mirror("mirror").await;
        impair(mirror, Impairment::Loss(0.3));
        settle().await;
        match sent_back(100).await.len() {
            // Once for each direction.
            20..80 => Ok(()),
            100 => seen(UNSUPPORTED),
            ..20 => seen("each loss takes all along that is on the link"),
            other => Err(format!("{other} of 100 came back")),
        }
    })
}

fn loss_on_streams(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        impair(server, Impairment::Loss(0.3));
        settle().await;
        for _ in 0..30 {
            if !asks(&mut stream, Duration::from_secs(60)).await {
                return seen("what was lost is never sent again: the stream is dead, without an error");
            }
        }
        Ok(())
    })
}

fn duplication(engine: EngineKind) -> Seen {
    play(engine, || async {
        let mirror = mirror("mirror").await;
        net::impair(&[host::current()], &[mirror], Impairment::Duplicate(1.0));
        settle().await;
        let mut back = sent_back(5).await;
        back.sort_unstable();
        if back == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] || back == [0, 1, 2, 3, 4] {
            Ok(())
        } else {
            Err(format!("{back:?}"))
        }
    })
}

fn reordering(engine: EngineKind) -> Seen {
    play(engine, || async {
        let mirror = mirror("mirror").await;
        let by = Latency::constant(Duration::from_millis(20));
        net::impair(&[host::current()], &[mirror], Impairment::Reorder { probability: 0.5, by });
        settle().await;
        let mut back = sent_back(50).await;
        let reordered = !back.is_sorted();
        back.sort_unstable();
        assert_eq!(back, (0..50).collect::<Vec<u8>>());
        // An engine that cannot says so in the outcome.
        if reordered { Ok(()) } else { unsupported(&[]) }
    })
}

fn bandwidth(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        net::impair(&[host::current()], &[server], Impairment::Bandwidth(8_000_000));
        settle().await;
        let start = time::Instant::now();
        stream.write_all(&[7; 200_000]).await.expect("open");
        stream.read_exact(&mut vec![0; 200_000]).await.expect("echoed");
        // A megabyte a second.
        let took = start.elapsed();
        if took >= Duration::from_millis(200) { Ok(()) } else { unsupported(&[]) }
    })
}

fn reset_storm(engine: EngineKind) -> Seen {
    play(engine, || async {
        let server = serve("server", echo).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        assert!(asks(&mut stream, PATIENCE).await);
        let count = net::reset_connections(&[host::current()], &[server]);
        match (count, time::timeout(PATIENCE, stream.read_u8()).await) {
            (1, Ok(Err(error))) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            (0, Err(_)) => seen(UNSUPPORTED),
            other => Err(format!("{other:?}")),
        }
    })
}
