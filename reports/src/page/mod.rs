//! `report.html`: a run on one page that a person reads: offline, in one file, in light and dark, on paper and on a phone.
//!
//! Everything can be read without JavaScript; the script only adds what a hand can do: values under the cursor, jumps,
//! copying. The page forbids itself to load anything (`Content-Security-Policy`), so no request ever leaves it.
//!
//! - [`render`]: the page, from an [`Input`].
//! - `head`: verdict, facts, limits; `tables`: operations, invariants, settings, coverage.
//! - `charts` says which charts there are, `figure` what stands around one, `plot` draws its marks with plotters, `axis`
//!   says where things stand, `theme` turns plotters' colours into those of the page.
//! - `curves`: latency by percentile. `faults`: faults, RTO and RPO. `topology`: hosts. `sequence`: what led to a violation.
//! - [`Latencies`]: of the whole run and by window, read from the log of a run.
//! - [`capacity`]: a page of its own, about a sweep over loads.
//! - `language`: every text, in each language. `page.css`, `page.js`: look and interaction.
//!
//! All text is escaped by maud where it is put into the page; what is in the page unescaped are charts, which have no
//! text, the style sheet, the script, and the data for it, see `script_data`.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use record::result::{RunResult, Verdict};
use record::timeline::Timeline;
use serde_json::{Map, Value, json};

mod axis;
pub mod capacity;
mod charts;
mod curves;
mod faults;
mod figure;
mod head;
mod language;
mod latencies;
mod plot;
mod sequence;
mod tables;
mod theme;
mod topology;

pub use language::Language;
pub use latencies::{Latencies, WindowLatency};

use axis::TimeAxis;
pub(crate) use axis::WINDOWS_MAX;
use faults::Target;
use figure::Stack;
use language::Words;

/// What the page may do: show itself. It loads nothing, from nowhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// All that the page tells about a run. It can be had right after a run as well as from the run's folder.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The verdict and the figures behind it.
    pub result: &'a RunResult,
    /// How the run went over its time.
    pub timeline: &'a Timeline,
    /// How long its operations took.
    pub latencies: &'a Latencies,
}

/// The page, complete, as the text of one file. Equal runs give equal pages, but for the wall time that they took.
pub fn render(input: &Input<'_>, language: Language) -> String {
    let words = language.words();
    let mut data = Map::new();
    let axis = TimeAxis::of(input.result, input.timeline);
    let over_time = over_time(input, axis, words, &mut data);
    let mut curves_data = Map::new();
    let curves = curves::render(input, words, &mut curves_data);
    let data = json!({
        "window_s": axis.map(|axis| axis.window_s),
        "end_s": axis.map(|axis| axis.end_s),
        "panels": data,
        "curves": curves_data,
    });
    let title = format!(
        "{} · {} · {}",
        words.verdict(input.result.verdict),
        input.result.scenario,
        input.result.seed
    );
    let body = html! {
        (head::render(input, words))
        main {
            (head::limits_section(input.result, words))
            (over_time)
            @if !input.latencies.whole.is_empty() {
                (section("percentiles", words.percentiles, words.percentiles_note, &html! { div.curves { (curves) } }))
            }
            (tables::lost(&input.timeline.lost, words))
            (tables::invariants(input, words))
            @if !input.timeline.hosts.is_empty() {
                (section("topology", words.topology, words.topology_note, &topology::render(input, words)))
            }
            (tables::operations(input.result, words))
            @for table in &input.timeline.tables { (tables::system(table)) }
            (tables::settings(&input.timeline.settings, words))
            (tables::coverage(input.result, words))
        }
        (script_data("result", &serde_json::to_value(input.result).unwrap_or_default()))
        (script_data("charts", &data))
        script { (PreEscaped(include_str!("page.js"))) }
    };
    document(language, &title, input.result.verdict, &body)
}

/// A page around its body, as the text of one file.
fn document(language: Language, title: &str, verdict: Verdict, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="rehearse";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body data-verdict=(verdict) { (body) }
        }
    };
    printable(&page.into_string())
}

/// A part of the page under its heading.
fn section(id: &str, title: &str, note: &str, body: &Markup) -> Markup {
    html! {
        section id=(id) {
            header { h2 { (title) } @if !note.is_empty() { p.note { (note) } } }
            (body)
        }
    }
}

/// All charts over time, below each other on one axis; what the script shows of them goes into `data`.
fn over_time(
    input: &Input<'_>,
    axis: Option<TimeAxis>,
    words: &Words,
    data: &mut Map<String, Value>,
) -> Markup {
    let Some(axis) = axis else {
        return html! {
            (section("over-time", words.over_time, words.no_timeline, &html! {}))
            @if !input.result.faults.is_empty() {
                (section("faults", words.faults, "", &faults::list(input, None, &html! {}, words)))
            }
        };
    };
    let overlay = faults::overlay(input, &axis, words, Target::No);
    let first_overlay = Some(faults::overlay(input, &axis, words, Target::Yes));
    let mut stack = Stack { words, axis, overlay, first_overlay, panels: Map::new() };
    let times = stack.time_labels();
    let throughput = stack.render(&charts::throughput(input, &axis, words, None));
    let leading = charts::leading(input.result);
    let latencies = leading.iter().filter_map(|name| charts::latency(input, &axis, words, name));
    let latencies: Vec<Markup> = latencies.map(|figure| stack.render(&figure)).collect();
    let gauges = charts::gauges(&input.timeline.gauges, &axis, words);
    let gauges: Vec<Markup> = gauges.iter().map(|figure| stack.render(figure)).collect();
    let busy = charts::busy(&input.timeline.hosts, &axis, words).map(|figure| stack.render(&figure));
    let names: Vec<&String> = input.timeline.operations.keys().collect();
    let each: Vec<Markup> =
        names.iter().map(|name| operation(input, &axis, words, name, &leading, &mut stack)).collect();
    data.append(&mut stack.panels);
    let body = html! {
        div.readout aria-live="polite" hidden { output.time {} span.what {} }
        div.stack tabindex="0" {
            figure.chart #chart-faults {
                figcaption { h3 { (words.faults) } @if input.result.faults.is_empty() { span.note { (words.no_faults) } } }
                (faults::list(input, Some(&axis), &times, words))
                (faults::legend(input, words))
            }
            (throughput)
            @for chart in &latencies { (chart) }
            @for chart in &gauges { (chart) }
            @if let Some(chart) = &busy { (chart) }
            @if !each.is_empty() {
                h3.each { (words.each_operation) }
                @for operation in &each { (operation) }
            }
        }
    };
    section("over-time", words.over_time, words.over_time_note, &body)
}

/// One operation's own charts, folded away.
fn operation(
    input: &Input<'_>,
    axis: &TimeAxis,
    words: &Words,
    name: &str,
    leading: &[&str],
    stack: &mut Stack<'_>,
) -> Markup {
    let throughput = stack.render(&charts::throughput(input, axis, words, Some(name)));
    // Those that matter most have their latencies above already.
    let latency = (!leading.contains(&name)).then(|| charts::latency(input, axis, words, name)).flatten();
    let latency = latency.map(|figure| stack.render(&figure));
    html! {
        details.operation {
            summary { (name) }
            (throughput)
            @if let Some(latency) = &latency { (latency) }
        }
    }
}

/// Data for the script. JSON needs no escape in an element of script but for what could end it: `<`; others are escaped
/// for parsers that read scripts as XML or as old JavaScript, and since no page may contain them.
fn script_data(id: &str, value: &Value) -> Markup {
    let mut text = String::new();
    for character in value.to_string().chars() {
        let is_special =
            matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') || character.is_control();
        if is_special {
            text += &format!("\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    html! { script id=(id) type="application/json" { (PreEscaped(text)) } }
}

/// Without characters that no page may contain; they come from files or users, and are shown as what they are: unknown.
fn printable(page: &str) -> String {
    let is_foreign = |character: char| character.is_control() && character != '\n';
    page.chars().map(|character| if is_foreign(character) { '\u{fffd}' } else { character }).collect()
}
