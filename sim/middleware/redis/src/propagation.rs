//! What an atomic unit gives to the replicas and the append-only file: the commands that changed something, in a form
//! that does the same whenever and wherever it is run.
//!
//! A command that changed something goes as it came, unless it says otherwise with [`Propagation::instead`]: what
//! depends on the clock or on chance is replaced by what it did (`SPOP` by `SREM`, `EXPIRE` by `PEXPIREAT`), and a
//! script by the commands that it called. More than one command of a unit go as a transaction.

use wire::redis::reply::push_integer;

/// The commands of the current unit.
#[derive(Debug, Default)]
pub(crate) struct Propagation {
    /// Does anybody want them?
    pub(crate) wanted: bool,
    commands: usize,
    bytes: Vec<u8>,
    /// The command that runs has said itself what goes.
    replaced: bool,
}

impl Propagation {
    /// A command begins to run.
    pub(crate) fn begin(&mut self) {
        self.replaced = false;
    }

    /// The command ran and changed something: it goes as it came, unless it said otherwise.
    pub(crate) fn verbatim(&mut self, args: &[&[u8]]) {
        if self.wanted && !self.replaced {
            self.push(args);
        }
    }

    /// Instead of the command that runs, these go (those of all calls). An empty one: nothing goes.
    pub(crate) fn instead(&mut self, args: &[&[u8]]) {
        self.replaced = true;
        if self.wanted && !args.is_empty() {
            self.push(args);
        }
    }

    /// The key went by itself: its time had come, or its place was needed.
    pub(crate) fn removed(&mut self, key: &[u8]) {
        if self.wanted {
            self.push(&[b"DEL", key]);
        }
    }

    fn push(&mut self, args: &[&[u8]]) {
        self.commands += 1;
        encode(args, &mut self.bytes);
    }

    /// Hands over what the unit has gathered, if anything.
    pub(crate) fn take(&mut self, feed: &mut dyn FnMut(&[u8])) {
        match std::mem::take(&mut self.commands) {
            0 => return,
            1 => feed(&self.bytes),
            _ => {
                let mut transaction = Vec::with_capacity(self.bytes.len() + 32);
                encode(&[b"MULTI"], &mut transaction);
                transaction.extend_from_slice(&self.bytes);
                encode(&[b"EXEC"], &mut transaction);
                feed(&transaction);
            }
        }
        self.bytes.clear();
    }

    /// Hands over what was gathered, each command for itself.
    pub(crate) fn take_each(&mut self, feed: &mut dyn FnMut(&[u8])) {
        if std::mem::take(&mut self.commands) > 0 {
            feed(&self.bytes);
            self.bytes.clear();
        }
    }
}

/// Appends a command as an array of bulk strings.
pub(crate) fn encode(args: &[&[u8]], out: &mut Vec<u8>) {
    out.push(b'*');
    push_integer(i64::try_from(args.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.push(b'$');
        push_integer(i64::try_from(arg.len()).unwrap_or(i64::MAX), out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}
