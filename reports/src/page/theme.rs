//! The colours of the charts, which follow the theme of the page.
//!
//! plotters writes a fixed colour into each element. Here every [`Ink`] is drawn with a colour that stands for it and
//! nothing else, and [`restyle`] puts the variable of the style sheet in its place: `#A75C02` becomes `var(--refused)`.
//! What the variables are in light, dark and print, and which inks are dashed so that none is known by its colour
//! alone, is said once, in `page.css`.

use plotters::style::RGBColor;

/// The first two bytes of the colours that stand for inks.
const PLACEHOLDER: (u8, u8) = (0xA7, 0x5C);

/// How many series of no fixed meaning have a colour of their own; more begin again.
const SERIES: u8 = 8;

/// What a mark of a chart means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Grid,
    Limit,
    Offered,
    Ok,
    Refused,
    Failed,
    Unknown,
    P50,
    P95,
    P99,
    Max,
    Heat,
    Context,
    /// One of several that differ by nothing but their names.
    Series(u8),
}

impl Ink {
    const FIXED: [Self; 13] = [
        Self::Grid,
        Self::Limit,
        Self::Offered,
        Self::Ok,
        Self::Refused,
        Self::Failed,
        Self::Unknown,
        Self::P50,
        Self::P95,
        Self::P99,
        Self::Max,
        Self::Heat,
        Self::Context,
    ];

    /// The ink of the series at `index`.
    pub(super) fn series(index: usize) -> Self {
        Self::Series((index % usize::from(SERIES)) as u8)
    }

    /// All of them.
    fn all() -> impl Iterator<Item = Self> {
        Self::FIXED.into_iter().chain((0..SERIES).map(Self::Series))
    }

    /// The name of its variable in the style sheet.
    fn variable(self) -> String {
        let name = match self {
            Self::Grid => "grid",
            Self::Limit => "limit",
            Self::Offered => "offered",
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::Heat => "heat",
            Self::Context => "context",
            Self::Series(index) => return format!("--series-{index}"),
        };
        format!("--{name}")
    }

    /// What a style or an attribute of the page says for it.
    pub(super) fn css(self) -> String {
        format!("var({})", self.variable())
    }

    /// What plotters draws it with.
    pub(super) fn placeholder(self) -> RGBColor {
        let index =
            Self::all().position(|ink| ink == self).expect("a series has one of the colours of series");
        RGBColor(PLACEHOLDER.0, PLACEHOLDER.1, index as u8)
    }
}

/// What plotters drew, in the colours of the page, as wide and high as its place in the page.
pub(super) fn restyle(svg: &str) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let head = svg.find("viewBox=\"").map_or("", |start| {
        let rest = &svg[start..];
        rest.find("\" ").map_or(rest, |end| &rest[..=end])
    });
    let mut styled = format!("<svg {head} preserveAspectRatio=\"none\" aria-hidden=\"true\">{body}");
    for ink in Ink::all() {
        let RGBColor(red, green, blue) = ink.placeholder();
        styled =
            styled.replace(&format!("\"#{red:02X}{green:02X}{blue:02X}\""), &format!("\"{}\"", ink.css()));
    }
    // What these say is so anyway.
    for default in [" opacity=\"1\"", " stroke=\"none\"", " stroke-width=\"1\""] {
        styled = styled.replace(default, "");
    }
    styled.replace(" \"/>", "\"/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ink_has_a_variable_of_its_own_and_the_style_sheet_says_what_it_is() {
        let sheet = include_str!("page.css");
        for ink in Ink::all() {
            let declared = format!("{}: ", ink.variable());
            assert_eq!(sheet.matches(&declared).count(), 1, "{declared}");
            let RGBColor(red, green, blue) = ink.placeholder();
            let drawn = format!(
                "<svg width=\"1\" viewBox=\"0 0 1 1\" x=\"\">\n<line stroke=\"#{red:02X}{green:02X}{blue:02X}\"/>"
            );
            assert!(restyle(&drawn).ends_with(&format!("<line stroke=\"{}\"/>", ink.css())), "{drawn}");
        }
    }
}
