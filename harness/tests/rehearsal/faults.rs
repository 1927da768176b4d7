//! Every kind of fault strikes: what hosts and their peers see while it lasts and after it has healed.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::faults::Faults;
use record::result::FaultRecord;
use scenarios::{Direction, Fault, FaultKind, HostEffect, Jump, LinkEffect, Links, Side, Strike};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::net::{TcpListener, TcpStream, UdpSocket};
use world::sim::{self, Config};
use world::time::{self, sleep, timeout};
use world::{disk, host, task};

const SECOND: Duration = Duration::from_secs(1);

/// A fault from 2 s to 4 s.
fn fault(strike: Strike) -> Fault {
    Fault { at: 2 * SECOND, for_: Some(2 * SECOND), strike }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn on_server(effect: HostEffect) -> Strike {
    Strike::Hosts { on: names(&["server"]), effect }
}

fn server_against_all(effect: LinkEffect) -> Strike {
    let sides = vec![Side::Hosts(names(&["server"])), Side::Rest];
    Strike::Links { links: Links::Between { sides, direction: Direction::Both }, effect }
}

/// Answers every byte on TCP and every datagram with itself.
async fn echo() {
    task::spawn(async {
        let socket = UdpSocket::bind("0.0.0.0:7").await.expect("a free port");
        let mut buffer = [0; 16];
        while let Ok((count, peer)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..count], peer).await;
        }
    });
    let listener = TcpListener::bind("0.0.0.0:7").await.expect("a free port");
    while let Ok((mut stream, _)) = listener.accept().await {
        task::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    }
}

/// Plays `observe` on the host `client`, with a host `server` that echoes and a `bystander` that does as well.
fn play<T, F, Fut>(faults: Vec<Fault>, observe: F) -> (T, Vec<FaultRecord>)
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let outcome = sim::run(Config::new(1), move || async move {
        host::add("server", echo);
        host::add("bystander", echo);
        let client = host::add("client", || async {});
        let carried_out = Faults::default();
        carried_out.schedule(&faults);
        let seen = client.spawn(observe()).await.expect("the client is not struck");
        carried_out.heal_all();
        (seen, carried_out.records())
    });
    assert!(outcome.panics.is_empty(), "{:?}", outcome.panics);
    outcome.result.expect("the simulation ends")
}

async fn at(moment: Duration) {
    sleep(moment.saturating_sub(sim::elapsed())).await;
}

/// Whether connecting works within a second; `None`: no answer.
async fn connect(host: &str) -> Option<Result<TcpStream, io::ErrorKind>> {
    let connected = timeout(SECOND, TcpStream::connect(&format!("{host}:7"))).await.ok()?;
    Some(connected.map_err(|error| error.kind()))
}

/// Sends a byte and waits a second for it to come back; `None`: no answer.
async fn exchange(stream: &mut TcpStream) -> Option<Result<(), io::ErrorKind>> {
    let exchanged = timeout(SECOND, async {
        stream.write_all(b"x").await?;
        stream.flush().await?;
        stream.read_u8().await.map(|_| ())
    });
    Some(exchanged.await.ok()?.map_err(|error| error.kind()))
}

/// How long a datagram takes to the server and back; `None`: more than a second, or for ever.
async fn round_trip(socket: &UdpSocket) -> Option<Duration> {
    let sent = sim::elapsed();
    socket.send_to(b"x", "server:7").await.expect("a datagram can always be sent");
    let mut buffer = [0; 16];
    timeout(SECOND, socket.recv_from(&mut buffer)).await.ok()?.expect("a datagram");
    Some(sim::elapsed() - sent)
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("0.0.0.0:0").await.expect("a free port")
}

#[test]
fn killed_hosts_reset_and_refuse_until_they_boot_again() {
    let (seen, records) = play(vec![fault(on_server(HostEffect::Kill))], || async {
        let mut stream = connect("server").await.expect("an answer").expect("up");
        at(3 * SECOND).await;
        let during = (exchange(&mut stream).await, connect("server").await.map(|it| it.map(|_| ())));
        at(5 * SECOND).await;
        (during, connect("server").await.expect("an answer").is_ok())
    });
    let reset = Some(Err(io::ErrorKind::ConnectionReset));
    assert_eq!(seen, ((reset, Some(Err(io::ErrorKind::ConnectionRefused))), true));
    let expected = FaultRecord { kind: "kill".into(), from_s: 2.0, to_s: 4.0, on: names(&["server"]) };
    assert_eq!(records, [expected]);
}

#[test]
fn crashed_hosts_are_silent_and_reset_old_connections_when_they_are_back() {
    let (seen, records) = play(vec![fault(on_server(HostEffect::Crash))], || async {
        let mut stream = connect("server").await.expect("an answer").expect("up");
        at(2 * SECOND + SECOND / 10).await;
        let silent = connect("server").await.is_none();
        let during = exchange(&mut stream).await;
        at(5 * SECOND).await;
        let after = timeout(60 * SECOND, stream.read_u8()).await.expect("told").map_err(|e| e.kind());
        (silent, during, after, connect("server").await.expect("an answer").is_ok())
    });
    assert_eq!(seen, (true, None, Err(io::ErrorKind::ConnectionReset), true));
    assert_eq!(records[0].kind, "crash");
}

#[test]
fn paused_hosts_accept_and_answer_when_they_run_on() {
    let (seen, _) = play(vec![fault(on_server(HostEffect::Pause))], || async {
        let mut stream = connect("server").await.expect("an answer").expect("up");
        at(2 * SECOND + SECOND / 10).await;
        let connected = connect("server").await.is_some_and(|it| it.is_ok());
        let during = exchange(&mut stream).await;
        let answer = timeout(2 * SECOND, stream.read_u8()).await.expect("an answer").expect("the byte");
        (connected, during, answer, sim::elapsed())
    });
    assert_eq!((seen.0, seen.1, seen.2), (true, None, b'x'));
    assert!(seen.3 > 4 * SECOND && seen.3 < 5 * SECOND, "{:?}", seen.3);
}

/// How far the server's wall clock and its monotonic clock are off, in ms, at 1, 3 and 5 s. Both are right at first.
fn clocks(faults: Vec<Fault>) -> [(i128, i128); 3] {
    let (seen, _) = play(faults, || async {
        let server = host::find("server").expect("staged");
        let read = || async move {
            let reading = server.spawn(async { (time::system_now(), time::Instant::now()) });
            reading.await.expect("the server is up")
        };
        let (first_wall, first) = read().await;
        let began = sim::elapsed();
        let mut seen = [(0, 0); 3];
        for (index, off) in seen.iter_mut().enumerate() {
            at(SECOND * (2 * index as u32 + 1)).await;
            let (wall, monotonic) = read().await;
            let passed_ms = (sim::elapsed() - began).as_millis() as i128;
            let wall_ms = match wall.duration_since(first_wall) {
                Ok(later) => later.as_millis() as i128,
                Err(earlier) => -(earlier.duration().as_millis() as i128),
            };
            *off = (wall_ms - passed_ms, monotonic.duration_since(first).as_millis() as i128 - passed_ms);
        }
        seen
    });
    seen
}

#[test]
fn clocks_jump_and_jump_back() {
    let jump = |by| fault(on_server(HostEffect::ClockJump { by }));
    assert_eq!(clocks(vec![jump(Jump::Forward(SECOND))]), [(0, 0), (1000, 0), (0, 0)]);
    assert_eq!(clocks(vec![jump(Jump::Back(SECOND / 4))]), [(0, 0), (-250, 0), (0, 0)]);
}

#[test]
fn clocks_drift_and_are_set_right_but_for_the_jumps_that_last() {
    let drift = fault(on_server(HostEffect::ClockDrift { ppm: 10_000 }));
    // The monotonic clock keeps the 20 ms that it went fast; it is never set.
    assert_eq!(clocks(vec![drift.clone()]), [(0, 0), (10, 10), (0, 20)]);
    let jump = on_server(HostEffect::ClockJump { by: Jump::Back(SECOND) });
    let jump = Fault { at: SECOND / 2, for_: None, strike: jump };
    assert_eq!(clocks(vec![drift, jump]), [(-1000, 0), (-990, 10), (-1000, 20)]);
}

#[test]
fn a_slow_disk_takes_its_time_until_it_heals() {
    let (took, records) = play(vec![fault(on_server(HostEffect::SlowDisk { slowness: 100 }))], || async {
        let server = host::find("server").expect("staged");
        let mut took = Vec::new();
        for second in [1, 3, 5] {
            at(SECOND * second).await;
            let synced = server.spawn(async {
                let file = disk::File::create("/file").await.expect("there is room");
                file.write_all_at(b"x", 0).await.expect("there is room");
                let began = sim::elapsed();
                file.sync_all().await.expect("synced");
                sim::elapsed() - began
            });
            took.push(synced.await.expect("the server is up"));
        }
        took
    });
    assert!(took[1] > 20 * took[0] && took[1] > 20 * took[2], "{took:?}");
    assert_eq!(records[0].kind, "slow-disk");
}

#[test]
fn a_partition_drops_between_its_sides_only_and_heals() {
    let (seen, records) = play(vec![fault(server_against_all(LinkEffect::Partition))], || async {
        let mut stream = connect("server").await.expect("an answer").expect("up");
        at(2 * SECOND + SECOND / 10).await;
        let during = exchange(&mut stream).await;
        let elsewhere = connect("bystander").await.is_some_and(|it| it.is_ok());
        let answer = timeout(10 * SECOND, stream.read_u8()).await.expect("an answer").expect("the byte");
        (during, elsewhere, answer)
    });
    assert_eq!(seen, (None, true, b'x'), "the stream goes on after healing");
    assert_eq!((records[0].kind.as_str(), &records[0].on), ("partition", &names(&["server"])));
}

#[test]
fn a_one_way_partition_drops_what_the_first_side_sends() {
    for (first, second, expected) in
        [("client", "server", (false, true)), ("server", "client", (true, false))]
    {
        let sides = vec![Side::Hosts(names(&[first])), Side::Hosts(names(&[second]))];
        let links = Links::Between { sides, direction: Direction::OneWay };
        let strike = Strike::Links { links, effect: LinkEffect::Partition };
        let (seen, records) = play(vec![fault(strike)], || async {
            at(3 * SECOND).await;
            let socket = UdpSocket::bind("0.0.0.0:9").await.expect("a free port");
            let server = host::find("server").expect("staged");
            let receiver = server.spawn(async {
                let socket = UdpSocket::bind("0.0.0.0:9").await.expect("a free port");
                socket.send_to(b"x", "client:9").await.expect("sent");
                timeout(SECOND / 2, socket.recv(&mut [0; 16])).await.is_ok()
            });
            sleep(SECOND / 10).await;
            socket.send_to(b"x", "server:9").await.expect("sent");
            let to_client = timeout(SECOND / 2, socket.recv(&mut [0; 16])).await.is_ok();
            (receiver.await.expect("the server is up"), to_client)
        });
        assert_eq!(seen, expected, "{first} cannot reach {second}");
        assert_eq!(records[0].on, names(&[first]));
    }
}

#[test]
fn all_others_are_those_whom_no_side_names() {
    let sides = vec![Side::Rest, Side::Hosts(names(&["server", "bystander"]))];
    let links = Links::Between { sides, direction: Direction::Both };
    let strike = Strike::Links { links, effect: LinkEffect::Partition };
    let (seen, records) = play(vec![fault(strike)], || async {
        at(2 * SECOND + SECOND / 10).await;
        let server = host::find("server").expect("staged");
        let inside = server.spawn(async { connect("bystander").await.is_some_and(|it| it.is_ok()) });
        (connect("server").await.is_none(), inside.await.expect("the server is up"))
    });
    assert_eq!(seen, (true, true));
    assert_eq!(records[0].on, names(&["client"]));
}

#[test]
fn held_bytes_arrive_when_released() {
    let strike = Strike::Links { links: Links::Of(names(&["server"])), effect: LinkEffect::Hold };
    let (seen, _) = play(vec![fault(strike)], || async {
        let socket = socket().await;
        at(2 * SECOND + SECOND / 10).await;
        let during = round_trip(&socket).await;
        socket.recv(&mut [0; 16]).await.expect("the datagram");
        (during, sim::elapsed())
    });
    assert_eq!(seen.0, None);
    assert!(seen.1 >= 4 * SECOND && seen.1 < 4 * SECOND + SECOND / 10, "{:?}", seen.1);
}

#[test]
fn slow_links_take_longer_each_way() {
    let strike = server_against_all(LinkEffect::Slow { latency: SECOND / 5 });
    let (seen, _) = play(vec![fault(strike)], || async {
        let socket = socket().await;
        let before = round_trip(&socket).await;
        at(3 * SECOND).await;
        let during = round_trip(&socket).await;
        at(5 * SECOND).await;
        [before, during, round_trip(&socket).await].map(|took| took.expect("an answer"))
    });
    let [before, during, after] = seen;
    assert!(before < SECOND / 10 && after < SECOND / 10, "{seen:?}");
    assert!(during >= SECOND * 2 / 5 && during < SECOND / 2, "{seen:?}");
}

#[test]
fn lossy_links_lose_their_share() {
    let strike = server_against_all(LinkEffect::Lossy { loss: 0.25 });
    let (lost, _) = play(vec![Fault { for_: None, ..fault(strike) }], || async {
        let socket = socket().await;
        at(3 * SECOND).await;
        let mut lost = 0;
        for _ in 0..1000 {
            lost += u32::from(round_trip(&socket).await.is_none());
        }
        lost
    });
    // There and back: 1 - 0.75² are lost.
    assert!((380..=490).contains(&lost), "{lost} of 1000");
}

#[test]
fn narrow_links_let_no_more_than_their_bandwidth_pass() {
    let bandwidth = scenarios::bandwidth::parse("1Mbit/s").expect("a bandwidth");
    let strike = server_against_all(LinkEffect::Narrow { bandwidth });
    let (took, _) = play(vec![Fault { for_: None, ..fault(strike) }], || async {
        let mut stream = connect("server").await.expect("an answer").expect("up");
        at(3 * SECOND).await;
        let (mut read, mut write) = tokio::io::split(&mut stream);
        let sent = async { write.write_all(&[7; 500_000]).await.expect("sent") };
        let mut received = vec![0; 500_000];
        tokio::join!(sent, async { read.read_exact(&mut received).await.expect("received") });
        sim::elapsed() - 3 * SECOND
    });
    // Half a megabyte is four seconds in each direction, which overlap.
    assert!(took >= 4 * SECOND && took < 10 * SECOND, "{took:?}");
}

#[test]
fn reset_connections_are_over_and_new_ones_work() {
    let strike = server_against_all(LinkEffect::ResetConnections);
    let (seen, records) = play(vec![Fault { for_: None, ..fault(strike) }], || async {
        let mut stream = connect("server").await.expect("an answer").expect("up");
        let mut bystander = connect("bystander").await.expect("an answer").expect("up");
        at(3 * SECOND).await;
        let seen = (exchange(&mut stream).await, exchange(&mut bystander).await);
        (seen, connect("server").await.is_some_and(|it| it.is_ok()))
    });
    assert_eq!(seen, ((Some(Err(io::ErrorKind::ConnectionReset)), Some(Ok(()))), true));
    assert_eq!((records[0].from_s, records[0].to_s), (2.0, 2.0), "momentary");
}

#[test]
fn a_host_that_two_faults_hold_down_is_down_until_the_later_one_ends() {
    let kill = fault(on_server(HostEffect::Kill));
    let crash = Fault { at: 3 * SECOND, for_: Some(3 * SECOND), strike: on_server(HostEffect::Crash) };
    let (up, _) = play(vec![kill, crash], || async {
        let mut up = Vec::new();
        for moment in [1, 3, 5, 7] {
            at(SECOND * moment).await;
            up.push(host::find("server").expect("staged").is_up());
        }
        up
    });
    assert_eq!(up, [true, false, false, true]);
}

#[test]
fn faults_without_an_end_heal_when_all_heal() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&seen);
    let outcome = sim::run(Config::new(1), move || async move {
        let server = host::add("server", echo);
        let faults = Faults::default();
        let until_the_end = |strike| Fault { at: SECOND, for_: None, strike };
        faults.schedule(&[until_the_end(on_server(HostEffect::Kill))]);
        sleep(10 * SECOND).await;
        shown.lock().expect("whole").push(server.is_up());
        faults.heal_all();
        shown.lock().expect("whole").push(server.is_up());
        faults.records()
    });
    assert_eq!(*seen.lock().expect("whole"), [false, true]);
    let records = outcome.result.expect("the simulation ends");
    assert_eq!((records[0].from_s, records[0].to_s), (1.0, 10.0));
}

/// The kinds that the tests above play, so that a new one is not forgotten.
#[test]
fn no_kind_is_left_out() {
    let source = include_str!("faults.rs");
    for kind in FaultKind::ALL {
        let words = kind.name().split('-').map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        });
        let variant = words.collect::<String>().replace("Link", "");
        assert!(source.contains(&format!("Effect::{variant}")), "{variant} is not tested here");
    }
}
