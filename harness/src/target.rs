//! A scenario as its user names it, before it is expanded: what hunts and capsules keep.

use scenarios::{Scenario, Size, Vocabulary};
use serde::{Deserialize, Serialize};

use crate::system::System;

/// A scenario with its text, whatever becomes of its file meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How the user names it: `ticketing/peak`, or a path.
    pub given: String,
    /// How messages call its file.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Settings that override the file's.
    pub set: Vec<(String, String)>,
}

impl Target {
    /// Expands the scenario, and finds its system among these.
    ///
    /// # Errors
    /// The whole message for the user: what is wrong, and where.
    pub fn read<'a>(
        &self,
        systems: &[&'a dyn System],
        size: Size,
    ) -> Result<(&'a dyn System, Scenario), String> {
        let scenario = scenarios::parse(&self.file, &self.text, &vocabulary(systems), size, &self.set)
            .map_err(|error| error.to_string())?;
        let system = systems.iter().copied().find(|system| system.vocabulary().name == scenario.system);
        let system = system.ok_or_else(|| format!("there is no system {:?}", scenario.system))?;
        Ok((system, scenario))
    }
}

/// What scenario files may say about these systems.
pub fn vocabulary(systems: &[&dyn System]) -> Vocabulary {
    Vocabulary { systems: systems.iter().map(|system| system.vocabulary()).collect() }
}
