//! `BGSAVE`, `BGREWRITEAOF`, `LASTSAVE`.

use crate::{
    commands::{Args, is},
    error::{Outcome, ReplyError, SYNTAX, fixed},
    persistence::Persistence,
    session::Unit,
};

/// Only a server that was configured to keep something has files.
fn files<'a>(unit: &'a Unit<'_>) -> Result<&'a Persistence, ReplyError> {
    unit.state.persistence.as_ref().ok_or(fixed("ERR this server keeps nothing on disk"))
}

/// `BGSAVE [SCHEDULE]`
pub(super) fn bgsave(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    let schedule = match a {
        [_] => false,
        [_, option] if is(option, "SCHEDULE") => true,
        _ => return Err(SYNTAX),
    };
    let started = files(unit)?.save_in_background(schedule, unit.session.is_executing);
    unit.reply.status(started.map_err(fixed)?);
    Ok(())
}

pub(super) fn bgrewriteaof(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    let started = files(unit)?.rewrite_in_background(unit.session.is_executing);
    unit.reply.status(started.map_err(fixed)?);
    Ok(())
}

/// Seconds since the Unix epoch.
pub(super) fn lastsave(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    let seconds =
        unit.state.persistence.as_ref().map_or(unit.state.db.now_us / 1_000_000, Persistence::last_save_s);
    unit.reply.integer(i64::try_from(seconds).unwrap_or(i64::MAX));
    Ok(())
}
