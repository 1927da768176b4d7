//! Where hosts stand decides how far it is between them.

use std::time::Duration;

use crate::support::{ms, play, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use world::net::{self, Distance, Latency, LinkProfile, Placement, TcpStream};
use world::time::Instant;
use world::{host, time};

/// The median of 201 round trips to a host.
async fn round_trip(stream: &mut TcpStream) -> Duration {
    let mut times = Vec::new();
    for _ in 0..201 {
        let start = Instant::now();
        stream.write_all(b"x").await.expect("open");
        stream.read_u8().await.expect("echoed");
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[100]
}

#[test]
fn distance_makes_the_link() {
    let outcome = play(1, || async {
        host::current().place(Placement::new("north", "a").on_machine("1"));
        let places = [
            ("machine", Placement::new("north", "a").on_machine("1")),
            ("zone", Placement::new("north", "a")),
            ("region", Placement::new("north", "b")),
            ("world", Placement::new("south", "a").on_machine("1")),
        ];
        let mut medians = Vec::new();
        for (name, place) in places {
            serve(name, crate::support::echo).place(place);
            time::sleep(ms(1)).await;
            let mut stream = TcpStream::connect(&format!("{name}:80")).await.expect("up");
            medians.push(round_trip(&mut stream).await);
        }
        // Without a placement: what the configuration says.
        serve("unplaced", crate::support::echo);
        time::sleep(ms(1)).await;
        medians.push(round_trip(&mut TcpStream::connect("unplaced:80").await.expect("up")).await);
        medians
    });
    let medians = outcome.result.expect("ends");
    let expected = [(40, 70), (350, 600), (900, 1400), (69_000, 75_000), (2_000, 2_000)];
    for (median, (least, most)) in medians.iter().zip(expected) {
        let range = Duration::from_micros(least)..=Duration::from_micros(most);
        assert!(range.contains(median), "{median:?} is not in {range:?}");
    }
}

#[test]
fn what_is_set_for_a_link_stays_when_its_hosts_move() {
    let outcome = play(1, || async {
        let server = serve("server", crate::support::echo);
        net::set_latency(host::current(), server, &Latency::constant(ms(7)));
        host::current().place(Placement::new("north", "a"));
        server.place(Placement::new("south", "a"));
        time::sleep(ms(1)).await;
        let mut stream = TcpStream::connect("server:80").await.expect("up");
        let explicit = round_trip(&mut stream).await;
        let slow =
            LinkProfile { bandwidth: Some(8_000), ..LinkProfile::with_latency(Latency::constant(ms(1))) };
        net::set_link(host::current(), server, &slow);
        let start = Instant::now();
        stream.write_all(&[0; 934]).await.expect("open");
        stream.read_exact(&mut [0; 934]).await.expect("echoed");
        (explicit, start.elapsed())
    });
    // 934 bytes and 66 of headers at a thousand bytes per second, there and back.
    assert_eq!(outcome.result, Ok((ms(14), ms(2_002))));
}

#[test]
fn machines_of_different_zones_differ_though_their_names_do_not() {
    let here = Placement::new("north", "a").on_machine("1");
    assert_eq!(here.distance(&Placement::new("north", "b").on_machine("1")), Distance::OtherZone);
    assert_eq!(here.distance(&Placement::new("north", "a")), Distance::SameZone);
    let unnamed = Placement::new("north", "a");
    assert_eq!(unnamed.distance(&unnamed), Distance::SameZone, "a machine of its own each");
}
