//! The table of commands, and what they all share. One file per data type.

mod about;
mod bitfield;
mod bitmaps;
pub(crate) mod blocking;
mod client;
mod cluster;
mod command;
mod connection;
mod dump;
mod flags;
mod floats;
pub(crate) mod glob;
mod hashes;
mod info;
mod keys;
mod keys_of;
mod lcs;
mod lists;
mod persistence;
mod pubsub;
mod random;
mod scan;
mod scripts;
mod server;
mod sets;
mod sorted_set_algebra;
mod sorted_set_ranges;
mod sorted_sets;
mod stream_groups;
mod stream_ids;
mod stream_info;
mod stream_reads;
mod streams;
mod strings;
mod table;
mod transactions;

use wire::redis::reply::Writer;

use crate::{
    clients::Clients,
    cluster::{Access, Cluster, Slot},
    error::{
        OUT_OF_RANGE_POSITIVE, Outcome, ReplyError, SYNTAX, UNKNOWN_FROM_SCRIPT, WRONG_ARITY_FROM_SCRIPT,
        WRONG_TYPE, fixed,
    },
    eviction::Pool,
    keyspace::{Keyspace, Kind},
    number::natural,
    propagation::Propagation,
    pubsub::PubSub,
    session::Unit,
    stats::Stats,
    waiting::{Wait, Waiting},
};

pub(crate) use flags::Flags;
pub(crate) use keys_of::KeyPlaces;
pub(crate) use lists::End;
pub(crate) use server::VERSION;
pub(crate) use stream_groups::{reply_help, wrong_subcommand};
pub(crate) use table::TABLE;

/// What a data command works on: all that one atomic unit sees of the server.
#[derive(Debug, Default)]
pub(crate) struct Database {
    pub(crate) keyspace: Keyspace,
    /// The clock, frozen at the start of the unit. Microseconds since the Unix epoch.
    pub(crate) now_us: u64,
    /// State of the generator behind `SPOP`, `SRANDMEMBER`, `RANDOMKEY` and their like.
    pub(crate) random: u64,
    /// What the unit gives to replicas and the append-only file.
    pub(crate) propagation: Propagation,
    /// Why the commands of the unit may not write, if they may not.
    pub(crate) refusal: Option<Refusal>,
    /// The commands are the master's, or of a file: a key goes when they say so, not when its time has passed, since
    /// the next of them may give it more.
    pub(crate) obeys: bool,
    /// The node's part in a cluster, if it is in one.
    pub(crate) cluster: Option<Box<Cluster>>,
    /// What the connection that runs the unit has said about redirections, and the slot that its keys are of.
    pub(crate) access: Access,
    pub(crate) slot: Option<Slot>,
    /// Who is connected, and what is sent to them beside replies.
    pub(crate) clients: Clients,
    pub(crate) pubsub: PubSub,
    /// Messages of the unit for the other nodes of the cluster.
    pub(crate) to_cluster: Vec<Publication>,
    /// The data takes more memory than it may, and nothing more can go.
    pub(crate) is_out_of_memory: bool,
    pub(crate) stats: Stats,
    /// Keys that may go next.
    pub(crate) pool: Pool,
    /// Those who wait for data.
    pub(crate) waiting: Waiting,
    /// Who says the command that runs, as far as it asks.
    pub(crate) caller: Caller,
    /// The command that runs found nothing: its caller is to wait.
    pub(crate) wait: Option<Wait>,
}

/// A message for the subscribers of a channel.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The channel belongs to a slot.
    pub(crate) shard: bool,
    pub(crate) channel: Box<[u8]>,
    pub(crate) message: Box<[u8]>,
}

/// What a command may have to know of who says it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Caller {
    /// A connection that can wait, outside of a transaction.
    pub(crate) may_block: bool,
    /// A connection that gets messages, in RESP2.
    pub(crate) is_subscriber: bool,
    pub(crate) is_script: bool,
}

impl Database {
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// Is a command that a script calls for this node, and for the slot of the script's other keys?
    pub(crate) fn route_call(&mut self, command: &Command, args: &Args<'_>) -> Outcome {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let access = Access { writes: command.writes, ..self.access };
        let keys = KeyPlaces::of(command, args).keys(args);
        let slot = cluster.route(keys, access, |key| self.keyspace.get(key).is_some());
        match slot.map_err(|redirection| fixed(redirection.in_script()))? {
            slot @ Some(_) if self.slot.is_some() && slot != self.slot => {
                Err(fixed("ERR Script attempted to access keys that do not hash to the same slot"))
            }
            slot => {
                self.slot = self.slot.or(slot);
                Ok(())
            }
        }
    }

    /// Removes the keys whose time has come.
    pub(crate) fn purge(&mut self) {
        let now_ms = self.now_ms();
        let Self { keyspace, propagation, stats, .. } = self;
        keyspace.purge(now_ms, |key| {
            propagation.removed(key);
            stats.expired += 1;
        });
    }

    /// Counts anew.
    pub(crate) fn reset_stats(&mut self) {
        self.stats = Stats::default();
        self.keyspace.forget_lookups();
    }

    /// A number drawn with SplitMix64: the same history of commands draws the same numbers.
    pub(crate) fn draw_u64(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, drawn.
    pub(crate) fn draw(&mut self, bound: usize) -> usize {
        // The product's upper half is below the bound; its bias is below 2^-32 for any real set.
        ((u128::from(self.draw_u64()) * bound as u128) >> 64) as usize
    }
}

/// A data command while it runs.
pub(crate) struct Context<'a> {
    pub(crate) db: &'a mut Database,
    pub(crate) reply: &'a mut Writer,
}

/// The arguments of a command, its name first. The table's arity guarantees how many there are at least.
pub(crate) type Args<'a> = [&'a [u8]];

/// A command that needs the data only.
pub(crate) type DataCommand = fn(&mut Context<'_>, &Args<'_>) -> Outcome;

/// How a command is run.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// It needs the data only.
    Data(DataCommand),
    /// It needs the connection or the server as well; scripts cannot call it.
    Session(fn(&mut Unit<'_>, &Args<'_>) -> Outcome),
}

/// A command of the table.
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    /// Number of arguments, the name included; negative: at least so many.
    pub(crate) arity: i8,
    pub(crate) writes: bool,
    pub(crate) flags: Flags,
    /// Places of the keys among the arguments: first, last (negative: from the end), step.
    pub(crate) keys: (i8, i8, i8),
    pub(crate) run: Run,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Why a unit may not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server is a replica.
    ReadOnly,
    /// Fewer replicas than configured are near.
    NoReplicas,
    /// What is written cannot be kept on the disk.
    Disk,
}

impl Refusal {
    /// The error for a command, if it is refused.
    pub(crate) fn of(self, command: &Command) -> Option<ReplyError> {
        match self {
            Refusal::ReadOnly => {
                command.writes.then_some(fixed("READONLY You can't write against a read only replica."))
            }
            Refusal::NoReplicas => {
                command.writes.then_some(fixed("NOREPLICAS Not enough good replicas to write."))
            }
            Refusal::Disk => {
                command.writes.then_some(fixed("MISCONF Errors writing to the disk of the server"))
            }
        }
    }
}

/// Runs a data command, and propagates what it changed.
pub(crate) fn perform(command: &Command, run: DataCommand, c: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if !command.writes {
        return run(c, args);
    }
    let before = c.db.keyspace.revision();
    c.db.propagation.begin();
    let outcome = run(c, args);
    if c.db.keyspace.revision() != before {
        c.db.propagation.verbatim(args);
    }
    outcome
}

impl Command {
    pub(crate) fn accepts(&self, arguments: usize) -> bool {
        arity_accepts(self.arity, arguments)
    }
}

fn arity_accepts(arity: i8, arguments: usize) -> bool {
    let least = usize::from(arity.unsigned_abs());
    if arity < 0 { arguments >= least } else { arguments == least }
}

/// The name of the subcommand that a container command is called with. Fails when it does not have it, or with a wrong
/// number of arguments for it.
pub(crate) fn check_subcommand(
    command: &Command,
    args: &Args<'_>,
) -> Result<Option<&'static str>, ReplyError> {
    let container = command.name;
    match subcommand(command, args) {
        None => Ok(None),
        Some((given, None)) => Err(ReplyError::unknown_subcommand(given, &container.to_ascii_uppercase())),
        Some((_, Some((name, arity)))) if arity_accepts(arity, args.len()) => Ok(Some(name)),
        Some((_, Some((name, _)))) => Err(ReplyError::wrong_arity(&format!("{container}|{name}"))),
    }
}

/// The same for a command that a script calls, with the errors that are for scripts.
pub(crate) fn check_subcommand_of_script(command: &Command, args: &Args<'_>) -> Outcome {
    match subcommand(command, args) {
        Some((_, None)) => Err(UNKNOWN_FROM_SCRIPT),
        Some((_, Some((_, arity)))) if !arity_accepts(arity, args.len()) => Err(WRONG_ARITY_FROM_SCRIPT),
        _ => Ok(()),
    }
}

/// The name of a subcommand, and its arity with the container included.
type Subcommand = (&'static str, i8);

/// The name of the subcommand that a command is called with, if it is a container.
#[inline]
pub(crate) fn subcommand_name(command: &Command, args: &Args<'_>) -> Option<&'static str> {
    if !command.flags.has(Flags::CONTAINER) {
        return None;
    }
    let (_, known) = subcommand(command, args)?;
    known.map(|(name, _)| name)
}

/// The subcommand that a container command is called with, and its name and arity if it is known.
fn subcommand<'a>(command: &Command, args: &Args<'a>) -> Option<(&'a [u8], Option<Subcommand>)> {
    if !command.flags.has(Flags::CONTAINER) {
        return None;
    }
    let (_, subcommands) = table::SUBCOMMANDS.iter().find(|(container, _)| *container == command.name)?;
    let given = *args.get(1)?;
    let known = subcommands.iter().find(|(name, _)| given.eq_ignore_ascii_case(name.as_bytes()));
    Some((given, known.copied()))
}

/// Finds a command by its name in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut slot = slot(name);
    loop {
        let command = TABLE.get(usize::from(SLOTS[slot]?))?;
        if name.eq_ignore_ascii_case(command.name.as_bytes()) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS.len();
    }
}

/// The place of a command in the table.
pub(crate) fn place(command: &Command) -> usize {
    let (start, at) = (TABLE.as_ptr().addr(), std::ptr::from_ref(command).addr());
    at.saturating_sub(start) / size_of::<Command>()
}

const SLOT_COUNT: usize = 1024;

/// A hash table of the places in [`TABLE`], by name, with open addressing: at most a third of it is in use.
static SLOTS: [Option<u8>; SLOT_COUNT] = {
    let mut slots = [None; SLOT_COUNT];
    let mut place = 0;
    while place < TABLE.len() {
        let mut slot = slot(TABLE[place].name.as_bytes());
        while slots[slot].is_some() {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = Some(place as u8);
        place += 1;
    }
    slots
};

/// Where the search for a name in any case starts.
const fn slot(name: &[u8]) -> usize {
    let mut hash: u32 = 0;
    let mut at = 0;
    // No name of a command is longer than this.
    while at < name.len() && at < 24 {
        hash = (hash ^ (name[at] | 0x20) as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash >> 16) as usize % SLOT_COUNT
}

/// The error for a name that the table does not have.
pub(crate) fn unknown(args: &Args<'_>) -> ReplyError {
    let quoted = |bytes: &[u8]| {
        let text: String = bytes.iter().take(128).map(|byte| char::from(*byte)).collect();
        text.replace(['\r', '\n'], " ")
    };
    let mut message = format!(
        "ERR unknown command '{}', with args beginning with: ",
        quoted(args.first().copied().unwrap_or_default())
    );
    let mut length = 0;
    for argument in args.iter().skip(1) {
        if length >= 128 {
            break;
        }
        let argument = format!("'{}' ", quoted(argument));
        length += argument.len();
        message.push_str(&argument);
    }
    ReplyError::new(message)
}

/// Is this argument the given keyword (which is in upper case)?
pub(crate) fn is(argument: &[u8], keyword: &str) -> bool {
    argument.eq_ignore_ascii_case(keyword.as_bytes())
}

/// Fails with WRONGTYPE when the key holds something else than `T`.
pub(crate) fn check_type<T: Kind>(keyspace: &Keyspace, key: &[u8]) -> Outcome {
    match keyspace.get(key) {
        Some(value) if T::of(value).is_none() => Err(WRONG_TYPE),
        _ => Ok(()),
    }
}

/// `XREM key member…`: replies how many were there.
fn remove_members<T: Kind>(
    c: &mut Context<'_>,
    a: &Args<'_>,
    mut remove: impl FnMut(&mut T, &[u8]) -> bool,
) -> Outcome {
    let removed = c.db.keyspace.edit(a[1], |value: &mut T| {
        let removed = a[2..].iter().filter(|member| remove(value, member)).count();
        (removed, removed > 0)
    })?;
    c.reply.count(removed.unwrap_or(0));
    Ok(())
}

/// The count of `XPOP key [count]`; with more arguments, the error that `too_many` makes.
fn pop_count(a: &Args<'_>, too_many: impl FnOnce() -> ReplyError) -> Result<Option<usize>, ReplyError> {
    match a {
        [_, _] => Ok(None),
        [_, _, count] => Ok(Some(natural(count).ok_or(OUT_OF_RANGE_POSITIVE)?)),
        _ => Err(too_many()),
    }
}

/// What `numkeys key… end [COUNT count]` asks for.
struct PopFirst<'a, E> {
    keys: &'a [&'a [u8]],
    from: E,
    count: usize,
}

impl<'a, E> PopFirst<'a, E> {
    fn parse(a: &'a Args<'a>, end: impl FnOnce(&[u8]) -> Result<E, ReplyError>) -> Result<Self, ReplyError> {
        let positive = |text: &[u8]| natural(text).filter(|number| *number > 0);
        let (keys, rest) = a.split_first().ok_or(SYNTAX)?;
        let keys = positive(keys).ok_or(fixed("ERR numkeys should be greater than 0"))?;
        let (keys, rest) = rest.split_at_checked(keys).ok_or(SYNTAX)?;
        let (from, rest) = rest.split_first().ok_or(SYNTAX)?;
        let from = end(from)?;
        let count = match rest {
            [] => 1,
            // Whatever follows, a count is read first.
            [option, count, rest @ ..] if is(option, "COUNT") => {
                let count = positive(count).ok_or(fixed("ERR count should be greater than 0"))?;
                if !rest.is_empty() {
                    return Err(SYNTAX);
                }
                count
            }
            _ => return Err(SYNTAX),
        };
        Ok(Self { keys, from, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_command_is_found() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
        for command in TABLE {
            assert!(command.name.len() <= 24);
            let found = find(command.name.to_ascii_uppercase().as_bytes()).expect("in the table");
            assert_eq!(found.name, command.name);
            assert_eq!(TABLE[place(found)].name, command.name);
            let is_container = table::SUBCOMMANDS.iter().any(|(name, _)| *name == command.name);
            assert_eq!(command.flags.has(Flags::CONTAINER), is_container, "{}", command.name);
        }
        assert!(find(b"nope").is_none());
        assert!(find(&[b'x'; 1000]).is_none());
    }
}
