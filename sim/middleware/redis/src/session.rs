//! What one connection has beside its stream, and how its requests are run as atomic units.

use wire::redis::reply::Writer;

use crate::{
    commands::{self, Args, Command, Context, Database, Run},
    error::{Outcome, ReplyError},
    keyspace::Blob,
    scripting::Scripts,
    server::{Changes, Observer},
};

/// The state of a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) name: Vec<u8>,
    pub(crate) transaction: Option<Transaction>,
    /// Watched keys with the version that they had.
    pub(crate) watched: Vec<(Blob, u64)>,
    /// The client said good-bye: close after the reply.
    pub(crate) closing: bool,
}

impl Session {
    pub(crate) fn new(id: i64) -> Self {
        Self { id, ..Self::default() }
    }
}

/// Commands queued since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) commands: Vec<Queued>,
    /// A command could not be queued: `EXEC` will refuse.
    pub(crate) broken: bool,
}

/// A queued command.
pub(crate) struct Queued {
    pub(crate) command: &'static Command,
    pub(crate) arguments: Vec<Box<[u8]>>,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.command.name)
    }
}

/// All that the connections share.
pub(crate) struct State {
    pub(crate) db: Database,
    pub(crate) scripts: Scripts,
    pub(crate) observer: Option<Observer>,
    pub(crate) next_id: i64,
}

impl State {
    /// Starts an atomic unit: reads the clock and removes the keys whose time has come.
    pub(crate) fn begin(&mut self, now_us: u64) {
        self.db.now_us = now_us;
        if self.db.keyspace.next_expiry_ms().is_some_and(|ms| ms < now_us / 1000) {
            self.db.keyspace.purge(now_us / 1000);
            self.end();
        }
    }

    /// Ends an atomic unit: the observer sees what it changed.
    pub(crate) fn end(&mut self) {
        if let Some(observer) = &self.observer
            && !self.db.keyspace.changes().is_empty()
        {
            observer(&Changes::new(&self.db.keyspace));
            self.db.keyspace.forget_changes();
        }
    }

    pub(crate) fn unwatch(&mut self, session: &mut Session) {
        for (key, _) in session.watched.drain(..) {
            self.db.keyspace.unwatch(&key);
        }
    }
}

/// One request of one connection, while it is run.
pub(crate) struct Unit<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) session: &'a mut Session,
    pub(crate) reply: &'a mut Writer,
}

impl Unit<'_> {
    /// Handles a request: runs it, or queues it within a transaction.
    pub(crate) fn request(&mut self, args: &Args<'_>) {
        match self.admit(args) {
            Err(error) => self.refuse(args, &error),
            Ok(command) => match &mut self.session.transaction {
                Some(transaction) if !is_immediate(command) => {
                    let arguments = args.iter().map(|argument| Box::from(*argument)).collect();
                    transaction.commands.push(Queued { command, arguments });
                    self.reply.status("QUEUED");
                }
                _ => self.run(command, args),
            },
        }
    }

    /// Finds the command and checks the number of its arguments.
    fn admit(&self, args: &Args<'_>) -> Result<&'static Command, ReplyError> {
        let command =
            args.first().and_then(|name| commands::find(name)).ok_or_else(|| commands::unknown(args))?;
        if !command.accepts(args.len()) {
            return Err(ReplyError::wrong_arity(command.name));
        }
        commands::check_subcommand(command, args)?;
        Ok(command)
    }

    /// Replies to a request that cannot be run; within a transaction, `EXEC` will refuse.
    fn refuse(&mut self, args: &Args<'_>, error: &ReplyError) {
        if args.first().is_some_and(|name| commands::is(name, "EXEC")) {
            // Even a malformed EXEC ends the transaction.
            self.session.transaction = None;
            self.state.unwatch(self.session);
            let reason = error.0.strip_prefix("ERR ").unwrap_or(&error.0);
            let message = format!("EXECABORT Transaction discarded because of: {reason}");
            self.reply.error(message.as_bytes());
            return;
        }
        if let Some(transaction) = &mut self.session.transaction {
            transaction.broken = true;
        }
        self.reply.error(error.as_bytes());
    }

    /// Runs a command and writes its reply, whatever comes.
    pub(crate) fn run(&mut self, command: &Command, args: &Args<'_>) {
        let mark = self.reply.len();
        let outcome: Outcome = match command.run {
            Run::Data(run) => run(&mut Context { db: &mut self.state.db, reply: self.reply }, args),
            Run::Session(run) => run(self, args),
        };
        if let Err(error) = outcome {
            self.reply.truncate(mark);
            self.reply.error(error.as_bytes());
        }
    }
}

/// Commands that act on a transaction instead of being part of it.
fn is_immediate(command: &Command) -> bool {
    matches!(command.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}
