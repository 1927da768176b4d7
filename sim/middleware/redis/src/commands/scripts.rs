//! `EVAL`, `EVALSHA`, their read-only forms, and `SCRIPT`.

use crate::{
    commands::{Args, is, server::sync_option},
    error::{Outcome, ReplyError, SYNTAX, fixed},
    number::integer,
    scripting::{Call, Script, digest_from_hex},
    session::Unit,
};

const NO_SCRIPT: ReplyError = fixed("NOSCRIPT No matching script. Please use EVAL.");

/// Reads `numkeys key… argument…`.
fn call<'a>(a: &'a Args<'a>, read_only: bool) -> Result<Call<'a>, ReplyError> {
    let count = integer(a[2])?;
    let rest = &a[3..];
    let count = usize::try_from(count).map_err(|_| fixed("ERR Number of keys can't be negative"))?;
    let (keys, arguments) = rest
        .split_at_checked(count)
        .ok_or(fixed("ERR Number of keys can't be greater than number of args"))?;
    Ok(Call { keys, arguments, read_only })
}

pub(super) fn eval(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    eval_source(unit, a, false)
}

pub(super) fn eval_ro(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    eval_source(unit, a, true)
}

fn eval_source(unit: &mut Unit<'_>, a: &Args<'_>, read_only: bool) -> Outcome {
    let call = call(a, read_only)?;
    let script = unit.state.scripts.load(a[1])?;
    run(unit, script, &call)
}

pub(super) fn evalsha(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    eval_digest(unit, a, false)
}

pub(super) fn evalsha_ro(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    eval_digest(unit, a, true)
}

fn eval_digest(unit: &mut Unit<'_>, a: &Args<'_>, read_only: bool) -> Outcome {
    // As Redis does: what cannot be a digest is answered before the keys are looked at.
    if a[1].len() != 40 {
        return Err(NO_SCRIPT);
    }
    let call = call(a, read_only)?;
    let script = digest_from_hex(a[1]).and_then(|digest| unit.state.scripts.find(&digest));
    world::sometimes!(script.is_none(), "redis.script-to-be-loaded");
    run(unit, script.ok_or(NO_SCRIPT)?, &call)
}

fn run(unit: &mut Unit<'_>, script: Script, call: &Call<'_>) -> Outcome {
    let state = &mut *unit.state;
    state.db.caller.is_script = true;
    let outcome = state.scripts.run(script, call, &mut state.db, unit.reply);
    state.db.caller.is_script = false;
    outcome
}

pub(super) fn script(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    match a {
        [_, what, source] if is(what, "LOAD") => {
            let script = unit.state.scripts.load(source)?;
            unit.reply.bulk(unit.state.scripts.digest(script).as_bytes());
        }
        [_, what, digests @ ..] if is(what, "EXISTS") && !digests.is_empty() => {
            unit.reply.array(digests.len());
            for digest in digests {
                let known = digest_from_hex(digest).and_then(|digest| unit.state.scripts.find(&digest));
                unit.reply.integer(i64::from(known.is_some()));
            }
        }
        [_, what, option @ ..] if is(what, "FLUSH") => {
            sync_option(option).map_err(|_| fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option"))?;
            unit.state.scripts.flush();
            unit.reply.ok();
        }
        [_, what] if is(what, "KILL") => {
            return Err(fixed("NOTBUSY No scripts in execution right now."));
        }
        _ => return Err(SYNTAX),
    }
    Ok(())
}
