//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.

use crate::{
    commands::Args,
    error::{Outcome, ReplyError, fixed},
    keyspace::Blob,
    session::{Transaction, Unit},
};

const ABORTED: ReplyError = fixed("EXECABORT Transaction discarded because of previous errors.");

pub(super) fn multi(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    if unit.session.transaction.is_some() {
        return Err(fixed("ERR MULTI calls can not be nested"));
    }
    unit.session.transaction = Some(Transaction::default());
    unit.reply.ok();
    Ok(())
}

pub(super) fn discard(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    if unit.session.transaction.take().is_none() {
        return Err(fixed("ERR DISCARD without MULTI"));
    }
    unit.state.unwatch(unit.session);
    unit.reply.ok();
    Ok(())
}

/// Runs what was queued, unless a watched key changed or a command could not be queued.
pub(super) fn exec(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    let transaction = unit.session.transaction.take().ok_or(fixed("ERR EXEC without MULTI"))?;
    let keyspace = &unit.state.db.keyspace;
    let stale = unit.session.watched.iter().any(|(key, version)| keyspace.is_changed_since(key, *version));
    unit.state.unwatch(unit.session);
    if transaction.broken {
        return Err(ABORTED);
    }
    if stale {
        unit.reply.null_array();
        return Ok(());
    }
    unit.session.is_executing = true;
    unit.reply.array(transaction.commands.len());
    for queued in &transaction.commands {
        let args: Vec<&[u8]> = queued.arguments.iter().map(|argument| &**argument).collect();
        unit.run(queued.command, &args);
    }
    unit.session.is_executing = false;
    Ok(())
}

pub(super) fn watch(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    if unit.session.transaction.is_some() {
        return Err(fixed("ERR WATCH inside MULTI is not allowed"));
    }
    for key in &a[1..] {
        let key = Blob::from(*key);
        // Watching a key again does not forget what happened to it since the first time.
        if !unit.session.watched.iter().any(|(watched, _)| *watched == key) {
            let version = unit.state.db.keyspace.watch(&key);
            unit.session.watched.push((key, version));
        }
    }
    unit.reply.ok();
    Ok(())
}

pub(super) fn unwatch(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    unit.state.unwatch(unit.session);
    unit.reply.ok();
    Ok(())
}
