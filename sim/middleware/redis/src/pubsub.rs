//! Publish/subscribe: who listens to which channels, and the way of a message to them.

use std::collections::BTreeMap;

use bytes::Bytes;
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;
use wire::redis::reply::{Protocol, Writer};

use crate::{
    cluster::{SlotSet, key_slot},
    commands::{Database, glob},
    keyspace::Blob,
};

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A channel of the whole server or cluster.
    Channel,
    /// All channels whose names match a pattern.
    Pattern,
    /// A channel that belongs to a slot of the cluster.
    Shard,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

    /// The word in front of the commands and of their replies.
    const fn prefix(self) -> &'static str {
        match self {
            Kind::Channel => "",
            Kind::Pattern => "p",
            Kind::Shard => "s",
        }
    }
}

/// Connections by their ids, in no order that means something.
type Subscribers = IndexSet<i64, FxBuildHasher>;
/// In the order of subscription, as far as nothing was unsubscribed.
type Names = IndexSet<Blob, FxBuildHasher>;

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct PubSub {
    /// Of each kind. Invariant: these and `clients` say the same; nothing in either is empty.
    tables: [IndexMap<Blob, Subscribers, FxBuildHasher>; 3],
    clients: BTreeMap<i64, [Names; 3]>,
}

impl PubSub {
    /// Does nobody listen to anything?
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Does this connection listen to anything?
    #[inline]
    pub(crate) fn is_subscribed(&self, id: i64) -> bool {
        !self.clients.is_empty() && self.clients.contains_key(&id)
    }

    /// A connection wants to hear.
    pub(crate) fn subscribe(&mut self, id: i64, kind: Kind, name: &[u8]) {
        let name = Blob::from(name);
        let names = self.clients.entry(id).or_default();
        if names[kind as usize].insert(name.clone()) {
            self.tables[kind as usize].entry(name).or_default().insert(id);
        }
    }

    /// A connection does not want to hear any more.
    pub(crate) fn unsubscribe(&mut self, id: i64, kind: Kind, name: &[u8]) {
        let Some(names) = self.clients.get_mut(&id) else { return };
        if !names[kind as usize].shift_remove(name) {
            return;
        }
        if names.iter().all(Names::is_empty) {
            self.clients.remove(&id);
        }
        let table = &mut self.tables[kind as usize];
        if let Some(subscribers) = table.get_mut(name) {
            subscribers.swap_remove(&id);
            if subscribers.is_empty() {
                table.swap_remove(name);
            }
        }
    }

    /// A connection has gone.
    pub(crate) fn forget(&mut self, id: i64) {
        for kind in Kind::ALL {
            for name in self.names_of(id, kind) {
                self.unsubscribe(id, kind, &name);
            }
        }
    }

    /// What a connection is subscribed to.
    pub(crate) fn names_of(&self, id: i64, kind: Kind) -> Vec<Blob> {
        self.clients.get(&id).map(|names| names[kind as usize].iter().cloned().collect()).unwrap_or_default()
    }

    /// Number of subscriptions of a connection.
    pub(crate) fn count(&self, id: i64, kind: Kind) -> usize {
        self.clients.get(&id).map_or(0, |names| names[kind as usize].len())
    }

    /// The number that the replies to subscriptions of this kind have: channels and patterns are counted together.
    fn count_in_reply(&self, id: i64, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.count(id, Kind::Shard),
            _ => self.count(id, Kind::Channel) + self.count(id, Kind::Pattern),
        }
    }

    /// Names that somebody is subscribed to.
    pub(crate) fn names(&self, kind: Kind) -> impl ExactSizeIterator<Item = &Blob> {
        self.tables[kind as usize].keys()
    }

    /// Number of subscribers.
    pub(crate) fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.tables[kind as usize].get(name).map_or(0, Subscribers::len)
    }

    /// Writes the reply to a subscription, or (`un`) to the end of one; without a name when there was none to end.
    pub(crate) fn confirm(&self, id: i64, kind: Kind, un: bool, name: Option<&[u8]>, reply: &mut Writer) {
        let un = if un { "un" } else { "" };
        reply.push(3);
        reply.bulk(format!("{}{un}subscribe", kind.prefix()).as_bytes());
        reply.bulk_or_null(name);
        reply.count(self.count_in_reply(id, kind));
    }
}

/// A message in the form of either protocol, encoded when the first subscriber needs it.
struct Message<'a> {
    parts: &'a [&'a [u8]],
    encoded: [Option<Bytes>; 2],
}

impl<'a> Message<'a> {
    fn new(parts: &'a [&'a [u8]]) -> Self {
        Self { parts, encoded: [None, None] }
    }

    fn of(&mut self, protocol: Protocol) -> Bytes {
        let parts = self.parts;
        let encode = || {
            let mut writer = Writer::new(protocol);
            writer.push(parts.len());
            for part in parts {
                writer.bulk(part);
            }
            Bytes::from(writer.into_bytes())
        };
        self.encoded[usize::from(protocol == Protocol::Resp3)].get_or_insert_with(encode).clone()
    }
}

impl Database {
    /// Gives a message to the subscribers that this server has; their number.
    pub(crate) fn publish(&mut self, shard: bool, channel: &[u8], message: &[u8]) -> usize {
        if self.pubsub.is_empty() {
            return 0;
        }
        let (kind, word): (_, &[u8]) =
            if shard { (Kind::Shard, b"smessage") } else { (Kind::Channel, b"message") };
        let mut receivers = 0;
        let now_ms = self.now_ms();
        let Self { pubsub, clients, .. } = self;
        let mut give = |subscribers: &Subscribers, parts: &[&[u8]]| {
            let mut message = Message::new(parts);
            for id in subscribers {
                let protocol = clients.get(*id).map(|client| client.protocol).unwrap_or_default();
                clients.deliver(*id, message.of(protocol), true, now_ms);
                receivers += 1;
            }
        };
        if let Some(subscribers) = pubsub.tables[kind as usize].get(channel) {
            give(subscribers, &[word, channel, message]);
        }
        if !shard {
            for (pattern, subscribers) in &pubsub.tables[Kind::Pattern as usize] {
                if glob::matches(pattern, channel) {
                    give(subscribers, &[b"pmessage", pattern, channel, message]);
                }
            }
        }
        receivers
    }

    /// Ends the subscriptions to the channels of slots that changed hands; their subscribers are told.
    pub(crate) fn drop_channels(&mut self, slots: &SlotSet) {
        let now_ms = self.now_ms();
        let Self { pubsub, clients, .. } = self;
        let gone: Vec<Blob> =
            pubsub.names(Kind::Shard).filter(|name| slots.contains(key_slot(name))).cloned().collect();
        for name in gone {
            let subscribers = pubsub.tables[Kind::Shard as usize].get(&name).cloned().unwrap_or_default();
            for id in subscribers {
                pubsub.unsubscribe(id, Kind::Shard, &name);
                let protocol = clients.get(id).map(|client| client.protocol).unwrap_or_default();
                let mut word = Writer::new(protocol);
                pubsub.confirm(id, Kind::Shard, true, Some(&name), &mut word);
                clients.deliver(id, Bytes::from(word.into_bytes()), true, now_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_subscription_come_and_go_together() {
        let mut pubsub = PubSub::default();
        for id in [1, 2] {
            pubsub.subscribe(id, Kind::Channel, b"a");
            pubsub.subscribe(id, Kind::Channel, b"a");
            pubsub.subscribe(id, Kind::Pattern, b"a*");
        }
        pubsub.subscribe(1, Kind::Shard, b"s");
        assert_eq!(pubsub.subscribers(Kind::Channel, b"a"), 2);
        assert_eq!((pubsub.count_in_reply(1, Kind::Channel), pubsub.count_in_reply(1, Kind::Shard)), (2, 1));
        pubsub.unsubscribe(2, Kind::Channel, b"a");
        assert!(pubsub.is_subscribed(2));
        pubsub.unsubscribe(2, Kind::Pattern, b"a*");
        assert!(!pubsub.is_subscribed(2));
        pubsub.forget(1);
        assert!(pubsub.is_empty());
        assert!(Kind::ALL.iter().all(|kind| pubsub.names(*kind).len() == 0));
    }
}
