//! A section in columns: aligned by the width that characters take on the screen, cut to the width of the
//! terminal, without borders.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::paint::Paint;
use super::{Style, mark_paint};
use crate::sections::{Align, Row, Section};
use crate::units::NOTHING;

/// Spaces before every row and between columns.
const GAP: &str = "  ";

/// Columns of text are not cut below this width.
const NARROWEST: usize = 8;

/// The lines of a section: title, heads, rows with their notes below.
pub(super) fn render(section: &Section, style: Style) -> String {
    let widths = fitted(section, style.width);
    let mut lines = heads(section, &widths, style);
    for row in &section.rows {
        lines.push(line(section, row, &widths, style));
        let indent = GAP.len() * 2 + if marked(section) { 2 } else { 0 };
        for note in &row.notes {
            let text = wrap(note, style.width.saturating_sub(indent));
            lines.extend(text.iter().map(|text| {
                let paints: &[Paint] = match row.mark {
                    Some(mark) => &[mark_paint(mark)],
                    None => &[],
                };
                format!("{:indent$}{}", "", style.paint(text, paints))
            }));
        }
    }
    let legend = section.legend.iter().flat_map(|legend| wrap(legend, style.width.saturating_sub(GAP.len())));
    lines.extend(legend.map(|text| format!("{GAP}{}", style.paint(&text, &[Paint::Dim]))));
    lines.push(String::new());
    lines.join("\n")
}

/// The columns of the screen that a section takes when nothing is cut.
pub(super) fn width(section: &Section) -> usize {
    total(section, &natural(section))
}

/// Text without the control characters that could move the cursor or change colours.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Breaks text between words into lines of at most `width`; a longer word has a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in clean(text).split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The title and the heads; a first column without a head has the title in its place.
fn heads(section: &Section, widths: &[usize], style: Style) -> Vec<String> {
    let title = clean(&section.title);
    let named_by_title = section.columns.first().is_none_or(|column| column.head.is_empty());
    let mut line = String::new();
    let start = if named_by_title {
        line.push_str(&style.paint(&pad(&title, first_width(section, widths), Align::Left), &[Paint::Bold]));
        1
    } else {
        0
    };
    for (index, (column, width)) in section.columns.iter().zip(widths).enumerate().skip(start) {
        let head = pad(&cut(&clean(&column.head), *width), *width, column.align);
        let head = if index + 1 == section.columns.len() { head.trim_end() } else { &head };
        line.push_str(GAP);
        line.push_str(&style.paint(head, &[Paint::Dim]));
    }
    line.truncate(line.trim_end().len());
    if named_by_title { vec![line] } else { vec![style.paint(&title, &[Paint::Bold]), line] }
}

/// One row, without spaces at its end.
fn line(section: &Section, row: &Row, widths: &[usize], style: Style) -> String {
    let mut line = match row.mark {
        Some(mark) => format!("{GAP}{}", style.paint(mark.symbol(), &[mark_paint(mark)])),
        None if marked(section) => format!("{GAP} "),
        None => String::new(),
    };
    for (index, (column, width)) in section.columns.iter().zip(widths).enumerate() {
        let cell = row.cells.get(index).map_or_else(String::new, |cell| clean(cell));
        let dim = cell == "0" || cell == NOTHING;
        let cell = pad(&cut(&cell, *width), *width, column.align);
        line.push_str(if index == 0 && marked(section) { " " } else { GAP });
        line.push_str(&style.paint(&cell, if dim { &[Paint::Dim] } else { &[] }));
    }
    line.trim_end().to_owned()
}

fn marked(section: &Section) -> bool {
    section.rows.iter().any(|row| row.mark.is_some())
}

/// The first column with what stands before it: the gap and the mark.
fn first_width(section: &Section, widths: &[usize]) -> usize {
    widths.first().map_or(0, |width| GAP.len() + width + if marked(section) { 2 } else { 0 })
}

fn total(section: &Section, widths: &[usize]) -> usize {
    let others: usize = widths.iter().skip(1).map(|width| GAP.len() + width).sum();
    first_width(section, widths) + others
}

/// The widths of the columns by their content.
fn natural(section: &Section) -> Vec<usize> {
    let columns = section.columns.iter().enumerate();
    let mut widths: Vec<_> = columns
        .map(|(index, column)| {
            let cells = section.rows.iter().filter_map(|row| row.cells.get(index));
            cells.chain([&column.head]).map(|text| clean(text).width()).max().unwrap_or(0)
        })
        .collect();
    // The title stands above the first column and what is before it.
    let shortfall = clean(&section.title).width().saturating_sub(first_width(section, &widths));
    if let (Some(first), Some(column)) = (widths.first_mut(), section.columns.first())
        && column.head.is_empty()
    {
        *first += shortfall;
    }
    widths
}

/// The widths of the columns, with the widest columns of text cut so that all fits, if it can.
fn fitted(section: &Section, available: usize) -> Vec<usize> {
    let mut widths = natural(section);
    let mut excess = total(section, &widths).saturating_sub(available);
    while excess > 0 {
        let text = section.columns.iter().zip(&mut widths).filter(|(column, _)| column.align == Align::Left);
        let widest = text.map(|(_, width)| width).max();
        match widest {
            Some(width) if *width > NARROWEST => *width -= 1,
            _ => break,
        }
        excess -= 1;
    }
    widths
}

/// Text of at most `width`, with an ellipsis where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let mut kept = String::new();
    for character in text.chars() {
        let taken = character.width().unwrap_or(0);
        if taken > room {
            break;
        }
        room -= taken;
        kept.push(character);
    }
    kept.push('…');
    kept
}

fn pad(text: &str, width: usize, align: Align) -> String {
    let spaces = " ".repeat(width.saturating_sub(text.width()));
    match align {
        Align::Left => format!("{text}{spaces}"),
        Align::Right => format!("{spaces}{text}"),
    }
}
