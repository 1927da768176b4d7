//! The engines that can carry a world, and what each of them does differently.
//!
//! The kernel is the engine of this crate and gives everything that the crate promises. Three others stand behind the
//! same interface: [turmoil](https://docs.rs/turmoil) and [madsim](https://docs.rs/madsim) as second opinions by
//! independent simulators, and tokio for real runs on real sockets in real time. They show their own behaviour: where
//! that differs from the kernel's, the table below says so, and the conformance suite (`tests/conformance`) checks
//! every cell of it on every engine of the build.
#![doc = include_str!("engines/table.md")]

mod table;

use std::fmt;
use std::str::FromStr;

pub use self::table::{FEATURES, Feature, Support, render};

/// What carries a world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// This crate's own engine: deterministic, with all faults.
    #[default]
    Kernel,
    /// turmoil 0.7, by ticks of one millisecond: deterministic.
    Turmoil,
    /// madsim 0.2: deterministic. Only in builds with `--cfg madsim`.
    Madsim,
    /// tokio: real sockets on the loopback network 127.0.0.0/8, real time. Not deterministic.
    Tokio,
}

impl EngineKind {
    /// All engines, those that this build lacks included.
    pub const ALL: [EngineKind; 4] =
        [EngineKind::Kernel, EngineKind::Turmoil, EngineKind::Madsim, EngineKind::Tokio];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Kernel => "kernel",
            EngineKind::Turmoil => "turmoil",
            EngineKind::Madsim => "madsim",
            EngineKind::Tokio => "tokio",
        }
    }

    /// The engines of this build.
    pub fn available() -> Vec<EngineKind> {
        EngineKind::ALL.into_iter().filter(|engine| engine.check().is_ok()).collect()
    }

    /// Is it in this build?
    ///
    /// # Errors
    /// Says how to build one that has it.
    pub fn check(self) -> Result<(), Unavailable> {
        if self == EngineKind::Madsim && !cfg!(madsim) { Err(Unavailable(self)) } else { Ok(()) }
    }

    /// Does the same seed give the same run?
    pub fn is_deterministic(self) -> bool {
        self != EngineKind::Tokio
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<EngineKind, UnknownEngine> {
        let found = EngineKind::ALL.into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| UnknownEngine(name.to_owned()))
    }
}

/// The build lacks an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable(pub EngineKind);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the engine {0} is not in this build; one that has it: RUSTFLAGS=\"--cfg {0}\" cargo build --release",
            self.0
        )
    }
}

impl std::error::Error for Unavailable {}

/// No engine has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownEngine(pub String);

impl fmt::Display for UnknownEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = EngineKind::ALL.map(EngineKind::name).join(", ");
        write!(f, "no engine is named {:?}; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownEngine {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for engine in EngineKind::ALL {
            assert_eq!(engine.to_string().parse(), Ok(engine));
        }
        let error = "steam".parse::<EngineKind>().expect_err("there is no such engine");
        assert_eq!(
            error.to_string(),
            r#"no engine is named "steam"; there are kernel, turmoil, madsim, tokio"#
        );
    }

    #[test]
    fn a_build_without_madsim_says_how_to_get_it() {
        assert_eq!(EngineKind::Madsim.check().is_ok(), cfg!(madsim));
        let message = Unavailable(EngineKind::Madsim).to_string();
        assert!(message.contains("RUSTFLAGS=\"--cfg madsim\""), "{message}");
        assert!(EngineKind::available().contains(&EngineKind::Kernel));
    }
}
