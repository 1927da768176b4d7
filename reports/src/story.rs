//! The story of a run, or of what one of its orders went through: who asked whom, what the store said, what changed.

use std::collections::BTreeSet;
use std::time::Duration;

use record::story::{Kind, Line};

/// Characters of what happened that are shown.
const TEXT_MAX: usize = 160;

/// Which lines of a story are wanted.
#[derive(Debug, Clone, Default)]
pub struct Focus {
    /// Only what has to do with any of these ids; everything when there is none.
    pub ids: Vec<String>,
    /// Only what happened until then.
    pub until: Option<Duration>,
    /// The most lines: what says least goes first.
    pub most: Option<usize>,
}

/// The lines that are wanted, one below the other: time, host, what happened.
pub fn render(lines: &[Line], focus: &Focus) -> String {
    let wanted = select(lines, focus);
    let width = wanted.iter().map(|line| line.host.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for line in &wanted {
        text +=
            &format!("{:>12.6} s  {:width$}  {}\n", line.at.as_secs_f64(), line.host, shortened(&line.text));
    }
    text
}

/// Text of at most [`TEXT_MAX`] characters, with an ellipsis where something is missing.
pub(crate) fn shortened(text: &str) -> String {
    let mut characters = text.chars();
    let short: String = characters.by_ref().take(TEXT_MAX).collect();
    if characters.next().is_some() { short + "…" } else { short }
}

/// The lines of a story that are wanted, copied, with texts as short as [`render`] shows them.
pub fn chosen(lines: &[Line], focus: &Focus) -> Vec<Line> {
    let cut = |line: &Line| Line { text: shortened(&line.text), ..line.clone() };
    select(lines, focus).into_iter().map(cut).collect()
}

/// Takes away what none of the focuses wants, but leaves the last `recent` lines of each: they may turn out to have to do
/// with what comes later. For stories that are too long to be kept as a whole until their end.
pub fn sift(lines: &mut Vec<Line>, focuses: &[Focus], recent: usize) {
    let mut is_wanted = vec![false; lines.len()];
    for focus in focuses {
        let related = Related::of(lines, focus);
        let until = lines.iter().take_while(|line| focus.is_in_time(line)).count();
        for (place, line) in lines.iter().enumerate().take(until) {
            is_wanted[place] |= place + recent >= until || (!focus.ids.is_empty() && related.has(line));
        }
    }
    let mut is_wanted = is_wanted.into_iter();
    lines.retain(|_| is_wanted.next().unwrap_or(true));
}

/// What has to do with a focus: what names one of its ids, and what belongs to a request of which some line does.
/// Faults have to do with everything.
struct Related<'a> {
    focus: &'a Focus,
    traces: BTreeSet<String>,
}

impl<'a> Related<'a> {
    fn of(lines: &[Line], focus: &'a Focus) -> Self {
        let traced = lines.iter().filter(|line| !line.trace.is_empty() && focus.is_named_by(line));
        Self { focus, traces: traced.map(|line| line.trace.clone()).collect() }
    }

    fn has(&self, line: &Line) -> bool {
        self.focus.ids.is_empty()
            || line.kind == Kind::Fault
            || self.focus.is_named_by(line)
            || self.traces.contains(&line.trace)
    }
}

impl Focus {
    fn is_in_time(&self, line: &Line) -> bool {
        self.until.is_none_or(|until| line.at <= until)
    }

    fn is_named_by(&self, line: &Line) -> bool {
        self.ids.iter().any(|id| contains_id(&line.text, id) || contains_id(&line.trace, id))
    }
}

pub(crate) fn select<'a>(lines: &'a [Line], focus: &Focus) -> Vec<&'a Line> {
    let related = Related::of(lines, focus);
    let is_wanted = |line: &&Line| focus.is_in_time(line) && related.has(line);
    let mut wanted: Vec<&Line> = lines.iter().filter(is_wanted).collect();
    let Some(most) = focus.most else { return wanted };
    // What a reader can do without, the least telling first: what the store was asked and said, then how the services
    // talked about it. What customers, faults and the store's state do is kept until there is too much of that as well.
    for least in [Kind::Command, Kind::Message] {
        if wanted.len() > most {
            let names_it =
                |line: &&Line| line.kind != least || (!focus.ids.is_empty() && focus.is_named_by(line));
            wanted.retain(names_it);
        }
        if wanted.len() > most {
            wanted.retain(|line| line.kind != least);
        }
    }
    // The end is where it fails.
    let surplus = wanted.len().saturating_sub(most);
    wanted.drain(..surplus);
    wanted
}

/// Does the text contain the id as a word of its own? `order-1` is not in `order-12`.
fn contains_id(text: &str, id: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(id).any(|(start, found)| {
        let before = text[..start].chars().next_back();
        let after = text[start + found.len()..].chars().next();
        !before.is_some_and(|c| is_inside(c) || c == '-') && !after.is_some_and(is_inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind, trace: &str, text: &str) -> Line {
        Line {
            at: Duration::from_millis(1),
            host: "a-1".into(),
            peer: None,
            is_answer: false,
            kind,
            trace: trace.into(),
            text: text.into(),
        }
    }

    #[test]
    fn what_has_to_do_with_an_id_is_what_names_it_and_the_requests_of_it() {
        let lines = [
            line(Kind::Message, "buyer-1-1", "POST /orders"),
            line(Kind::Message, "buyer-2-1", "POST /orders"),
            line(Kind::Command, "buyer-1-1", "HSET order:77"),
            line(Kind::Command, "buyer-2-1", "HSET order:777"),
            line(Kind::Fault, "", "crash begins"),
        ];
        let shown = render(&lines, &Focus { ids: vec!["77".into()], ..Focus::default() });
        assert_eq!(
            shown,
            "    0.001000 s  a-1  POST /orders\n    0.001000 s  a-1  HSET order:77\n    0.001000 s  a-1  crash begins\n"
        );
        let buyer = render(&lines, &Focus { ids: vec!["buyer-2".into()], ..Focus::default() });
        assert!(buyer.contains("order:777") && !buyer.contains("order:77\n"), "{buyer}");
        assert_eq!(render(&lines, &Focus::default()).lines().count(), 5);
        let short = render(&lines, &Focus { most: Some(2), ids: vec!["777".into()], ..Focus::default() });
        // What the store was asked goes before what the services said.
        assert_eq!(short.lines().count(), 2);
        assert!(short.contains("POST /orders") && !short.contains("order:777"), "{short}");
    }
}
