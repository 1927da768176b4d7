//! The charts, as they are drawn: a small run whose figures are always the same.

use std::collections::BTreeSet;

use reports::page::{Language, render};

use crate::parsed::{all, one, parse, within};
use crate::synthetic;

const WINDOWS: usize = 9;

fn page() -> String {
    render(&synthetic::run(WINDOWS, 900).input(), Language::English)
}

/// The SVG of a figure of the page, an element in a line.
fn drawn(selector: &str) -> String {
    let html = parse(&page());
    let figures: Vec<String> =
        within(one(&html, selector), ".area svg, .topology svg, .sequence svg, svg[role]")
            .iter()
            .map(|svg| svg.html().replace('\n', "").replace("><", ">\n<"))
            .collect();
    assert!(!figures.is_empty(), "{selector}");
    figures.join("\n")
}

/// A test for each chart, so that all that differ are seen at once.
macro_rules! snapshots {
    ($($name:ident: $selector:literal;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(drawn($selector));
        })*
    };
}

snapshots! {
    throughput: "#chart-throughput";
    throughput_of_an_operation: "#chart-throughput-payment-pay";
    latency: "#chart-latency-order-submit";
    stock: "#gauge-stock";
    queue: "#gauge-queue";
    redis: "#gauge-redis";
    network: "#gauge-network";
    load_of_hosts: "#chart-busy";
    percentiles: "#curve-order-submit";
    topology: "section#topology";
    story: ".story";
}

/// The list of faults is drawn by the style sheet.
#[test]
fn faults_and_recovery() {
    let html = parse(&page());
    insta::assert_snapshot!(one(&html, ".faults ol").html().replace("><", ">\n<"));
}

#[test]
fn every_colour_is_one_of_the_style_sheet() {
    let page = page();
    let html = parse(&page);
    let sheet = one(&html, "style").html();
    let mut used = BTreeSet::new();
    for element in all(&html, "svg *, svg") {
        for paint in ["fill", "stroke"].iter().filter_map(|name| element.attr(name)) {
            let variable = paint.strip_prefix("var(").and_then(|rest| rest.strip_suffix(')'));
            match variable {
                Some(variable) => assert!(sheet.contains(&format!("{variable}: ")), "{paint}"),
                None => assert_eq!(paint, "none"),
            }
            used.insert(paint.to_owned());
        }
    }
    assert!(used.len() > 10, "{used:?}");
}

#[test]
fn no_two_lines_of_a_chart_differ_by_colour_alone() {
    let html = parse(&page());
    let sheet = one(&html, "style").html();
    let dash = |paint: &str| {
        let rule = format!("[stroke=\"{paint}\"] {{ stroke-dasharray: ");
        sheet.split_once(&rule).and_then(|(_, rest)| rest.split_once(';')).map(|(dash, _)| dash.to_owned())
    };
    for legend in all(&html, ".legend") {
        let mut seen = BTreeSet::new();
        for line in within(legend, ".key line") {
            let paint = line.attr("stroke").expect("a colour");
            // Red and blue are told apart by all; what failed is drawn like what was achieved.
            let dash = if paint == "var(--failed)" { Some("failed".to_owned()) } else { dash(paint) };
            assert!(seen.insert(dash.clone()), "{paint}: {dash:?}");
        }
    }
}
