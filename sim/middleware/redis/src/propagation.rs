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
    /// The same for the replicas, once there is something that is for them only.
    for_replicas: Option<Box<(usize, Vec<u8>)>>,
    /// The command that runs has said itself what goes.
    replaced: bool,
}

/// Who gets what is propagated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    Both,
    Replicas,
    Disk,
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

    /// A command that changes no data goes to the replicas only: a message of a channel.
    pub(crate) fn replicas_only(&mut self, args: &[&[u8]]) {
        if self.wanted {
            let (commands, bytes) = (self.commands, &self.bytes);
            let for_replicas = self.for_replicas.get_or_insert_with(|| Box::new((commands, bytes.clone())));
            for_replicas.0 += 1;
            encode(args, &mut for_replicas.1);
        }
    }

    fn push(&mut self, args: &[&[u8]]) {
        self.commands += 1;
        encode(args, &mut self.bytes);
        if let Some(for_replicas) = &mut self.for_replicas {
            for_replicas.0 += 1;
            encode(args, &mut for_replicas.1);
        }
    }

    /// Hands over what the unit has gathered, if anything.
    pub(crate) fn take(&mut self, feed: &mut dyn FnMut(&[u8], Receiver)) {
        if self.commands == 0 && self.for_replicas.is_none() {
            return;
        }
        let commands = std::mem::take(&mut self.commands);
        match self.for_replicas.take() {
            None => hand_over(commands, &self.bytes, Receiver::Both, feed),
            Some(for_replicas) => {
                hand_over(for_replicas.0, &for_replicas.1, Receiver::Replicas, feed);
                hand_over(commands, &self.bytes, Receiver::Disk, feed);
            }
        }
        self.bytes.clear();
    }

    /// Hands over what was gathered, each command for itself.
    pub(crate) fn take_each(&mut self, feed: &mut dyn FnMut(&[u8], Receiver)) {
        if std::mem::take(&mut self.commands) > 0 {
            feed(&self.bytes, Receiver::Both);
            self.bytes.clear();
        }
    }
}

/// Hands over so many commands; more than one as a transaction.
fn hand_over(commands: usize, bytes: &[u8], receiver: Receiver, feed: &mut dyn FnMut(&[u8], Receiver)) {
    match commands {
        0 => {}
        1 => feed(bytes, receiver),
        _ => {
            let mut transaction = Vec::with_capacity(bytes.len() + 32);
            encode(&[b"MULTI"], &mut transaction);
            transaction.extend_from_slice(bytes);
            encode(&[b"EXEC"], &mut transaction);
            feed(&transaction, receiver);
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
