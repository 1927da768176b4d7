//! A capsule: a failure with all that it takes to play it again. The file `capsule.json` of a run that failed.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use record::result::{FaultRecord, Verdict};
use scenarios::{Size, Strategy};
use serde::{Deserialize, Serialize};
use world::choice::Choices;
use xxhash_rust::xxh3::Xxh3Default;

use crate::rehearsal::Failure;
use crate::target::Target;

/// The version of the shape of [`Capsule`].
pub const SCHEMA: u32 = 1;

/// A failure that can be played again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capsule {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// What it was played by.
    pub build: Build,
    /// The scenario as it was.
    pub scenario: Target,
    /// Its size: `full` or `hunt`.
    pub size: String,
    /// The engine: `kernel`.
    pub engine: String,
    /// Decides every random choice that is not recorded.
    pub seed: u64,
    /// Who runs next among tasks that are ready.
    pub strategy: Strategy,
    /// The planted mistakes that were switched on.
    pub mutants: Vec<String>,
    /// How it ended.
    pub verdict: Verdict,
    /// What was not as it should be.
    pub failures: Vec<Failure>,
    /// The fingerprint of the run: 32 hex digits.
    pub fingerprint: String,
    /// The faults as they came about, those drawn by seed among them.
    pub faults: Vec<FaultRecord>,
    /// Every choice of the run: the bytes of [`Choices::to_bytes`] in base64.
    pub choices: String,
}

/// A build of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its version.
    pub version: String,
    /// A hash of the executable, 32 hex digits; empty where it cannot be read.
    pub executable: String,
}

impl Build {
    /// The build that this process runs.
    pub fn current() -> Build {
        let hash = || -> std::io::Result<String> {
            let mut hash = Xxh3Default::new();
            hash.update(&std::fs::read(std::env::current_exe()?)?);
            Ok(format!("{:032x}", hash.digest128()))
        };
        Build { version: env!("CARGO_PKG_VERSION").to_owned(), executable: hash().unwrap_or_default() }
    }
}

/// Why a capsule cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{0}: cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    /// It is not a capsule.
    #[error("{0}:{1}")]
    NotACapsule(String, String),
}

impl Capsule {
    /// Reads a capsule.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(path: &Path) -> Result<Capsule, Error> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Error::Unreadable(shown.clone(), error))?;
        let wrong = |what: String| Error::NotACapsule(shown.clone(), what);
        let capsule: Capsule = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("{}:{}: not a capsule: {error}", error.line(), error.column())))?;
        if capsule.schema != SCHEMA {
            return Err(wrong(format!(" a capsule of schema {}, expected {SCHEMA}", capsule.schema)));
        }
        capsule.choices().map_err(|what| wrong(format!(" its choices cannot be read: {what}")))?;
        capsule.size().map_err(|what| wrong(format!(" {what}")))?;
        Ok(capsule)
    }

    /// The capsule as JSON, with a line break at its end.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The size of the scenario.
    ///
    /// # Errors
    /// A sentence: there is no such size.
    pub fn size(&self) -> Result<Size, String> {
        match self.size.as_str() {
            "full" => Ok(Size::Full),
            "hunt" => Ok(Size::Hunt),
            other => Err(format!("its size is {other:?}, expected \"full\" or \"hunt\"")),
        }
    }

    /// The recorded choices.
    ///
    /// # Errors
    /// A sentence: they are not what [`Capsule::set_choices`] wrote.
    pub fn choices(&self) -> Result<Choices, String> {
        let bytes = BASE64_STANDARD.decode(&self.choices).map_err(|error| error.to_string())?;
        Choices::from_bytes(&bytes).map_err(|error| error.to_string())
    }

    /// Writes choices down.
    pub fn set_choices(&mut self, choices: &Choices) {
        self.choices = BASE64_STANDARD.encode(choices.to_bytes());
    }
}
