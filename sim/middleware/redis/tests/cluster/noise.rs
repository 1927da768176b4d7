//! Garbage on the bus: never a panic, never a link that waits for ever, never a file that cannot be loaded again.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use redis_middleware::cluster::{
    Action, Cluster, Facts, Flags, LinkId, NodeId, SLOTS, SlotSet,
    message::{self, Body, Gossip, HEADER_LENGTH, Header, Kind, MAX_LENGTH},
};

use crate::net::options;

const NOW_MS: i64 = 1_700_000_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

/// Names that the node knows, and some that it does not.
fn name() -> impl Strategy<Value = NodeId> {
    (0..12u8).prop_map(|number| NodeId::parse(format!("{number:040x}").as_bytes()).expect("a name"))
}

fn ip() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("10.0.0.2".to_owned()), "[0-9a-f.:]{1,45}"]
}

fn slots() -> impl Strategy<Value = SlotSet> {
    prop_oneof![
        Just(SlotSet::default()),
        Just((0..SLOTS).collect()),
        proptest::collection::vec(0..SLOTS, 0..50).prop_map(|slots| slots.into_iter().collect()),
    ]
}

fn epoch() -> impl Strategy<Value = u64> {
    prop_oneof![0..10u64, Just(u64::MAX)]
}

fn flags() -> impl Strategy<Value = Flags> {
    prop_oneof![Just(Flags::MASTER), Just(Flags::REPLICA), any::<u16>().prop_map(Flags)]
}

prop_compose! {
    fn header()(
        (port, plain_port, bus_port) in any::<(u16, u16, u16)>(),
        (current_epoch, config_epoch) in (epoch(), epoch()),
        offset in any::<i64>(),
        sender in name(),
        slots in slots(),
        master in proptest::option::of(name()),
        ip in ip(),
        flags in flags(),
        (down, paused, force_ack) in any::<(bool, bool, bool)>(),
    ) -> Header {
        Header {
            port, current_epoch, config_epoch, offset, sender, slots, master, ip, plain_port, bus_port, flags, down,
            paused, force_ack,
        }
    }
}

prop_compose! {
    fn gossip()(
        id in name(),
        (ping_sent_s, pong_received_s, port, bus_port, plain_port) in any::<(u32, u32, u16, u16, u16)>(),
        ip in ip(),
        flags in flags(),
    ) -> Gossip {
        Gossip { id, ping_sent_s, pong_received_s, ip, port, bus_port, flags, plain_port }
    }
}

fn body() -> impl Strategy<Value = Body<'static>> {
    let heartbeat = (
        proptest::sample::select(vec![Kind::Ping, Kind::Pong, Kind::Meet]),
        proptest::collection::vec(gossip(), 0..5),
        proptest::option::of("[a-z.]{1,20}"),
    );
    prop_oneof![
        3 => heartbeat.prop_map(|(kind, gossip, hostname)| Body::Heartbeat { kind, gossip, hostname }),
        1 => name().prop_map(Body::Fail),
        1 => any::<bool>().prop_map(|shard| Body::Publish { shard, channel: b"channel", message: b"" }),
        1 => Just(Body::AuthRequest),
        1 => Just(Body::AuthAck),
        1 => Just(Body::MfStart),
        1 => Just(Body::Other),
        1 => (epoch(), name(), slots())
            .prop_map(|(config_epoch, node, slots)| Body::Update { config_epoch, node, slots }),
    ]
}

/// A node that knows four others: masters, replicas, or itself a replica.
fn node(replica: bool) -> Cluster {
    let me =
        if replica { "myself,slave 0000000000000000000000000000000000000001" } else { "myself,master -" };
    let text = format!(
        "{:040x} 10.0.0.9:6379@16379 {me} 0 0 1 connected{}\n\
         {:040x} 10.0.0.2:6379@16379 master - 0 0 2 connected 6000-9000\n\
         {:040x} 10.0.0.3:6379@16379 slave {:040x} 0 0 0 connected\n\
         {:040x} 10.0.0.4:6379@16379 master - 0 0 3 connected 9001-16383\n\
         vars currentEpoch 3 lastVoteEpoch 0\n",
        0,
        if replica { "" } else { " 0-5999 [7->-0000000000000000000000000000000000000001]" },
        1,
        2,
        u8::from(replica),
        3,
    );
    let mut state = 1u64;
    let random = Box::new(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state
    });
    Cluster::load(options(1000), random, NOW_MS, &text).expect("a good file")
}

/// What comes next: a message over one of some links, or something else that happens.
#[derive(Debug, Clone)]
enum Step {
    Message(usize, Vec<u8>),
    Cron(i64),
    Up(usize),
    Down(usize),
}

fn step(message: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6usize, message).prop_map(|(link, bytes)| Step::Message(link, bytes)),
        2 => (0..1500i64).prop_map(Step::Cron),
        1 => (0..6usize).prop_map(Step::Up),
        1 => (0..6usize).prop_map(Step::Down),
    ]
}

/// Plays the steps: whatever the node says to others is well-formed, and its file can be loaded.
fn play(replica: bool, steps: &[Step]) {
    let mut node = node(replica);
    let mut links: Vec<LinkId> = (0..3u8).map(|_| node.on_accepted(NOW_MS, HERE, HERE)).collect();
    let mut now_ms = NOW_MS;
    let facts = Facts::default();
    for step in steps {
        let link = |place: &usize| links[place % links.len()];
        match step {
            Step::Message(place, bytes) => node.on_data(now_ms, &facts, link(place), bytes),
            Step::Cron(ms) => {
                now_ms += ms;
                node.cron(now_ms, &facts);
            }
            Step::Up(place) => node.on_link_up(now_ms, &facts, link(place), HERE),
            Step::Down(place) => node.on_link_down(link(place)),
        }
        while let Some(action) = node.next_action() {
            match action {
                Action::Send { bytes, .. } => {
                    message::decode(&bytes).expect("well-formed");
                }
                Action::Connect { link, .. } => links.push(link),
                _ => {}
            }
        }
        let file = node.nodes_conf();
        let again = Cluster::load(options(1000), Box::new(|| 9), now_ms, &file);
        assert!(again.is_ok(), "{again:?}\n{file}");
    }
    let shown: usize = node.nodes().map(|node| node.slots().len() as usize).sum();
    let owned =
        (0..SLOTS).filter(|slot| node.owner(*slot).is_some_and(|owner| owner.slots().contains(*slot)));
    assert_eq!(shown, owned.count());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(header in header(), body in body()) {
        let bytes = message::encode(&header, &body);
        prop_assert_eq!(message::length(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(message::decode(&bytes), Ok((header, body)));
    }

    #[test]
    fn anything_can_be_decoded_or_refused(
        header in header(),
        body in body(),
        cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = message::decode(&noise);
        let mut bytes = message::encode(&header, &body);
        let _ = message::decode(&bytes[..cut.index(bytes.len())]);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = message::decode(&bytes);
        // The same with a length that fits, so that the rest is looked at.
        bytes.truncate(HEADER_LENGTH.max(cut.index(bytes.len())));
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_be_bytes());
        let _ = message::decode(&bytes);
    }

    #[test]
    fn any_messages_leave_a_node_in_order(
        replica in any::<bool>(),
        steps in proptest::collection::vec(
            step((header(), body()).prop_map(|(header, body)| message::encode(&header, &body))), 1..25),
    ) {
        play(replica, &steps);
    }

    #[test]
    fn broken_messages_leave_a_node_in_order(
        replica in any::<bool>(),
        steps in proptest::collection::vec(
            step((header(), body(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(header, body, at, value)| {
                let mut bytes = message::encode(&header, &body);
                let at = at.index(bytes.len());
                bytes[at] = value;
                bytes
            })), 1..15),
    ) {
        play(replica, &steps);
    }
}

#[test]
fn a_link_with_garbage_or_a_giant_on_it_is_closed() {
    let mut giant = b"RCmb".to_vec();
    giant.extend_from_slice(&(MAX_LENGTH as u32 + 1).to_be_bytes());
    let mut dwarf = b"RCmb".to_vec();
    dwarf.extend_from_slice(&8u32.to_be_bytes());
    for bytes in [b"GET / HTTP/1.1\r\n".to_vec(), giant, dwarf] {
        let mut node = node(false);
        let link = node.on_accepted(NOW_MS, HERE, HERE);
        node.on_data(NOW_MS, &Facts::default(), link, &bytes);
        assert_eq!(node.next_action(), Some(Action::Close { link }));
        // What comes later is nobody's.
        node.on_data(NOW_MS, &Facts::default(), link, &bytes);
        assert_eq!(node.next_action(), None);
    }
}

#[test]
fn a_message_of_another_version_is_ignored() {
    let mut node = node(false);
    let link = node.on_accepted(NOW_MS, HERE, HERE);
    let bytes = {
        let mut other = self::node(false);
        other.cron(NOW_MS, &Facts::default());
        std::iter::from_fn(move || other.next_action()).find_map(|action| match action {
            Action::Send { bytes, .. } => Some(bytes.to_vec()),
            _ => None,
        })
    };
    let mut bytes = bytes.expect("a ping");
    bytes[9] = 2;
    node.on_data(NOW_MS, &Facts::default(), link, &bytes);
    assert_eq!(node.next_action(), None);
    bytes[9] = 1;
    node.on_data(NOW_MS, &Facts::default(), link, &bytes);
    assert!(matches!(node.next_action(), Some(Action::Send { .. })));
}
