//! ANSI colours, if the style has them.

use super::Style;

/// What can be done to text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Paint {
    /// The parameter of "Select Graphic Rendition" (ECMA-48, 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
        }
    }
}

impl Style {
    /// The text with the paints, or as it is where there is nothing to paint.
    pub(super) fn paint(self, text: &str, paints: &[Paint]) -> String {
        if !self.color || paints.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        let codes: Vec<_> = paints.iter().map(|paint| paint.code()).collect();
        format!("\x1b[{}m{text}\x1b[0m", codes.join(";"))
    }
}
