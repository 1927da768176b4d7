//! One table: what every engine does, checked cell by cell by the conformance suite.

use std::fmt::Write;

use super::EngineKind;

/// What an engine makes of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// As promised.
    Full,
    /// In these words, and in no other way.
    Differs(&'static str),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// Its name, by which the suite finds it.
    pub name: &'static str,
    /// What the kernel does.
    pub promise: &'static str,
    turmoil: Support,
    madsim: Support,
    tokio: Support,
}

impl Feature {
    /// What an engine makes of it.
    pub fn on(&self, engine: EngineKind) -> Support {
        match engine {
            EngineKind::Kernel => Full,
            EngineKind::Turmoil => self.turmoil,
            EngineKind::Madsim => self.madsim,
            EngineKind::Tokio => self.tokio,
        }
    }
}

use Support::{Differs, Full};

/// The table.
pub const FEATURES: &[Feature] = &[];

/// The table as Markdown, as it stands in the documentation.
pub fn render() -> String {
    let mut text = String::from("\n| feature | kernel | turmoil | madsim | tokio |\n| --- | --- | --- | --- | --- |\n");
    for feature in FEATURES {
        let _ = write!(text, "| {} | {} |", feature.name, feature.promise);
        for engine in [EngineKind::Turmoil, EngineKind::Madsim, EngineKind::Tokio] {
            let cell = match feature.on(engine) {
                Full => "as the kernel",
                Differs(how) => how,
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}
