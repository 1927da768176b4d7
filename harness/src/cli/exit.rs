//! Exit codes: part of the contract with scripts and CI.

use std::process::ExitCode;

use record::result::Verdict;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All held.
    Held = 0,
    /// An error of ours, or of the machine.
    Internal = 1,
    /// Wrong usage or a wrong scenario file.
    Usage = 2,
    /// Nothing was played: no customer came.
    NothingRan = 4,
    /// A service level was missed.
    Slow = 99,
    /// An invariant was violated.
    Violated = 100,
    /// The run proves nothing: the engine diverged, for example.
    Invalid = 101,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Held => Exit::Held,
            Verdict::Violated => Exit::Violated,
            Verdict::Slow => Exit::Slow,
            Verdict::Invalid => Exit::Invalid,
        }
    }
}
