//! `CLUSTER`, and what a connection says about redirections.

use crate::{
    commands::Args,
    error::{Outcome, ReplyError, fixed},
    session::Unit,
};

const DISABLED: ReplyError = fixed("ERR This instance has cluster support disabled");

pub(super) fn cluster(unit: &mut Unit<'_>, a: &Args<'_>) -> Outcome {
    if unit.state.cluster_command(a, unit.reply) { Ok(()) } else { Err(DISABLED) }
}

/// The next command may use a slot that is being imported.
pub(super) fn asking(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    check_enabled(unit)?;
    unit.session.asking = true;
    unit.reply.ok();
    Ok(())
}

/// Replicas may be read from, old as their data may be.
pub(super) fn readonly(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    check_enabled(unit)?;
    unit.session.read_only = true;
    unit.reply.ok();
    Ok(())
}

pub(super) fn readwrite(unit: &mut Unit<'_>, _: &Args<'_>) -> Outcome {
    check_enabled(unit)?;
    unit.session.read_only = false;
    unit.reply.ok();
    Ok(())
}

fn check_enabled(unit: &Unit<'_>) -> Outcome {
    if unit.state.db.cluster.is_some() { Ok(()) } else { Err(DISABLED) }
}
