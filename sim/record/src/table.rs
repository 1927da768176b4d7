//! A system's own summary of a run, for people: who got tickets, which stock is left.

use serde::{Deserialize, Serialize};

/// A table to be shown as it is; the reports choose alignment and borders.
///
/// A row may be shorter than `columns`: the missing cells are shown empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What the table answers: `Who got tickets`.
    pub title: String,
    /// The heads of the columns.
    pub columns: Vec<String>,
    /// The cells, row by row, ready to be shown.
    pub rows: Vec<Vec<String>>,
}
