//! Publish/subscribe.

use crate::{
    commands::{Args, Context, Publication, glob, is, reply_help, wrong_subcommand},
    error::{Outcome, ReplyError},
    pubsub::Kind,
    session::Unit,
};

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
];

fn subscribe_to(unit: &mut Unit<'_>, a: &Args<'_>, kind: Kind) -> Outcome {
    let id = unit.session.id;
    if unit.session.is_master {
        // What comes over the stream of replication is nobody who could listen.
        return Err(ReplyError::new(format!(
            "ERR {} isn't allowed for a DENY BLOCKING client",
            String::from_utf8_lossy(a[0]).to_uppercase()
        )));
    }
    for name in &a[1..] {
        unit.state.db.pubsub.subscribe(id, kind, name);
        unit.state.db.pubsub.confirm(id, kind, false, Some(name), unit.reply);
    }
    Ok(())
}

fn unsubscribe_from(unit: &mut Unit<'_>, a: &Args<'_>, kind: Kind) -> Outcome {
    let id = unit.session.id;
    let pubsub = &mut unit.state.db.pubsub;
    if let [_, names @ ..] = a
        && !names.is_empty()
    {
        for name in names {
            pubsub.unsubscribe(id, kind, name);
            pubsub.confirm(id, kind, true, Some(name), unit.reply);
        }
        return Ok(());
    }
    let names = pubsub.names_of(id, kind);
    for name in &names {
        pubsub.unsubscribe(id, kind, name);
        pubsub.confirm(id, kind, true, Some(name), unit.reply);
    }
    if names.is_empty() {
        pubsub.confirm(id, kind, true, None, unit.reply);
    }
    Ok(())
}

pub(super) fn subscribe(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    subscribe_to(unit, a, Kind::Channel)
}

pub(super) fn unsubscribe(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    unsubscribe_from(unit, a, Kind::Channel)
}

pub(super) fn psubscribe(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    subscribe_to(unit, a, Kind::Pattern)
}

pub(super) fn punsubscribe(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    unsubscribe_from(unit, a, Kind::Pattern)
}

pub(super) fn ssubscribe(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    if unit.session.is_executing {
        return Err(ReplyError::new("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client".to_owned()));
    }
    subscribe_to(unit, a, Kind::Shard)
}

pub(super) fn sunsubscribe(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    unsubscribe_from(unit, a, Kind::Shard)
}

/// A message goes to the subscribers here, to the replicas, or over the bus of the cluster. The reply counts those
/// here only.
fn publish_to(c: &mut Context<'_>, a: &Args<'_>, shard: bool) -> Outcome {
    let receivers = c.db.publish(shard, a[1], a[2]);
    if c.db.cluster.is_some() {
        c.db.to_cluster.push(Publication { shard, channel: a[1].into(), message: a[2].into() });
    } else {
        c.db.propagation.replicas_only(a);
    }
    c.reply.count(receivers);
    Ok(())
}

pub(super) fn publish(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    publish_to(c, a, false)
}

pub(super) fn spublish(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    publish_to(c, a, true)
}

pub(super) fn pubsub(c: &mut Context<'_>, a: &Args<'_>) -> Outcome {
    let pubsub = &c.db.pubsub;
    let kind = if a[1].first().is_some_and(|first| first.eq_ignore_ascii_case(&b's')) {
        Kind::Shard
    } else {
        Kind::Channel
    };
    match a {
        [_, what] if is(what, "HELP") => reply_help(c.reply, a, HELP),
        [_, what] if is(what, "NUMPAT") => c.reply.count(pubsub.names(Kind::Pattern).len()),
        [_, what, names @ ..] if is(what, "NUMSUB") || is(what, "SHARDNUMSUB") => {
            c.reply.array(names.len() * 2);
            for name in names {
                c.reply.bulk(name);
                c.reply.count(pubsub.subscribers(kind, name));
            }
        }
        [_, what, pattern @ ..]
            if (is(what, "CHANNELS") || is(what, "SHARDCHANNELS")) && pattern.len() <= 1 =>
        {
            let wanted = |name: &[u8]| pattern.first().is_none_or(|pattern| glob::matches(pattern, name));
            let names: Vec<_> = pubsub.names(kind).filter(|name| wanted(name)).collect();
            c.reply.array(names.len());
            for name in names {
                c.reply.bulk(name);
            }
        }
        _ => return Err(wrong_subcommand(a)),
    }
    Ok(())
}
