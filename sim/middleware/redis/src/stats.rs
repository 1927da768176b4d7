//! What a server counts, for `INFO`.

use std::collections::BTreeMap;

use crate::{
    commands::{self, Command},
    error::ReplyError,
};

/// How often a command was called.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) calls: u64,
    /// Those that could not be run at all.
    pub(crate) rejected: u64,
    /// Those that were run and ended with an error.
    pub(crate) failed: u64,
}

/// What is counted until `CONFIG RESETSTAT`.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// By the places of the commands in their table.
    by_place: Vec<Calls>,
    by_subcommand: BTreeMap<(&'static str, &'static str), Calls>,
    errors: BTreeMap<String, u64>,
    pub(crate) commands: u64,
    pub(crate) error_replies: u64,
    pub(crate) connections: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) full_syncs: u64,
    pub(crate) partial_syncs: u64,
    pub(crate) refused_partial_syncs: u64,
    pub(crate) memory_peak: usize,
    /// Commands of the last full second.
    pub(crate) commands_per_second: u64,
    commands_at_last_beat: u64,
}

impl Stats {
    #[inline]
    fn of(&mut self, command: &Command, subcommand: Option<&'static str>) -> &mut Calls {
        let place = commands::place(command);
        if subcommand.is_some() || place >= self.by_place.len() {
            return self.of_rare(command, subcommand);
        }
        &mut self.by_place[place]
    }

    /// That of a subcommand, or of the first command of all.
    #[cold]
    fn of_rare(&mut self, command: &Command, subcommand: Option<&'static str>) -> &mut Calls {
        if let Some(subcommand) = subcommand {
            return self.by_subcommand.entry((command.name, subcommand)).or_default();
        }
        self.by_place.resize(commands::TABLE.len(), Calls::default());
        &mut self.by_place[commands::place(command)]
    }

    /// A command was run.
    #[inline]
    pub(crate) fn called(
        &mut self,
        command: &Command,
        subcommand: Option<&'static str>,
        error: Option<&ReplyError>,
    ) {
        self.commands += 1;
        let calls = self.of(command, subcommand);
        calls.calls += 1;
        if let Some(error) = error {
            calls.failed += 1;
            self.failed(error);
        }
    }

    /// A command was refused.
    pub(crate) fn rejected(&mut self, command: &Command, subcommand: Option<&'static str>) {
        self.of(command, subcommand).rejected += 1;
    }

    /// An error was replied.
    pub(crate) fn failed(&mut self, error: &ReplyError) {
        self.error_replies += 1;
        let code = error.0.split(' ').next().unwrap_or_default();
        match self.errors.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(code.to_owned(), 1);
            }
        }
    }

    /// A second has passed.
    pub(crate) fn beat(&mut self) {
        self.commands_per_second = self.commands.saturating_sub(self.commands_at_last_beat);
        self.commands_at_last_beat = self.commands;
    }

    /// The commands that were called, each with its full name.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (String, Calls)> {
        let places = commands::TABLE.iter().zip(&self.by_place);
        let plain = places.map(|(command, calls)| (command.name.to_owned(), *calls));
        let others = self
            .by_subcommand
            .iter()
            .map(|((name, subcommand), calls)| (format!("{name}|{subcommand}"), *calls));
        plain.chain(others).filter(|(_, calls)| calls.calls + calls.rejected > 0)
    }

    /// The codes of the errors that were replied, and how often.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.errors.iter().map(|(code, count)| (code.as_str(), *count))
    }
}
