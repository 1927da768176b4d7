//! The page in a real browser: Debian's chromium, headless. It shows a copy of the page with `browser.js` in it, which
//! points, clicks and measures, and tells what it found to the document around it; chromium prints that document.
//!
//! Without chromium these tests say so and check nothing; `ci/test` installs it. `REPORT_SHOTS=DIR` leaves pictures.

use std::fs;
use std::path::Path;
use std::process::Command;

use record::result::Verdict;
use reports::page::capacity::render as render_capacity;
use reports::page::{Language, render};
use serde_json::Value;
use tempfile::TempDir;

use crate::parsed::{one, text};
use crate::{capacity, synthetic};

/// Seconds after which a browser that hangs is stopped.
const PATIENCE_S: &str = "120";

/// What chromium is called.
const NAMES: [&str; 2] = ["chromium", "chromium-browser"];

/// The page in a frame, since a window of chromium is never as narrow as a phone.
const FRAME: &str = r#"<!DOCTYPE html><title>A frame</title>
<iframe src="report.html" style="width:WIDTHpx;height:844px;border:0"></iframe><pre id="findings"></pre>
<script>onmessage = (event) => (document.getElementById("findings").textContent = event.data);</script>"#;

/// A width of a desk and one of a phone, in pixels.
const DESK: u32 = 1280;
const PHONE: u32 = 390;

/// Chromium with what all calls have in common; `None` if there is none.
#[expect(clippy::print_stderr, reason = "a test that checks nothing must say so")]
fn chromium(profile: &Path, width: u32, height: u32) -> Option<Command> {
    let is_there = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let Some(name) = NAMES.into_iter().find(is_there) else {
        eprintln!("SKIPPED: the page in a browser: chromium is not installed");
        return None;
    };
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", PATIENCE_S, name, "--headless", "--no-sandbox", "--disable-gpu"]);
    command.args([
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
        "--enable-logging=stderr",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("--window-size={width},{height}"));
    command.arg("--virtual-time-budget=10000");
    Some(command)
}

/// The page with the script that tries it, which comes first, so that it hears of every error. `more` is put into it.
fn tried(page: &str, more: &str) -> String {
    let script = format!("<script>{}</script>", include_str!("browser.js"));
    let (head, rest) = page.split_once("<meta name=\"viewport\"").expect("a head");
    let rest = rest.replacen("</main>", &format!("{more}</main>"), 1);
    format!("{head}{script}<meta name=\"viewport\"{rest}")
}

/// What the script found in the page; `None` without a browser.
fn findings(page: &str, more: &str, width: u32) -> Option<Value> {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("report.html"), tried(page, more)).expect("a file");
    let file = folder.path().join("frame.html");
    fs::write(&file, FRAME.replace("WIDTH", &width.to_string())).expect("a file");
    let mut command = chromium(&folder.path().join("profile"), DESK + 100, 1000)?;
    let output =
        command.arg("--dump-dom").arg(format!("file://{}", file.display())).output().expect("it runs");
    let (document, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && document.contains("</html>"), "chromium: {}\n{said}", output.status);
    let document = scraper::Html::parse_document(&document);
    let mut found: Value = serde_json::from_str(&text(one(&document, "#findings"))).expect("what was found");
    // What the browser itself says of a page, for instance of a script that it cannot parse.
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    found["console"] = serde_json::json!(console);
    Some(found)
}

/// A list that must be empty.
fn assert_none(found: &Value, name: &str) {
    assert_eq!(found[name], serde_json::json!([]), "{name} in {found:#}");
}

/// A page that behaves, whatever is on it.
fn assert_sound(found: &Value) {
    for name in ["console", "errors", "forbidden", "requests", "empty", "misaligned", "wide", "wrong"] {
        assert_none(found, name);
    }
}

fn assert_well(found: &Value) {
    assert_sound(found);
    let count = |name: &str| found["counts"][name].as_u64().unwrap_or_default();
    assert!(count("charts") > 20 && count("faults") == 3 && count("curves") == 8, "{found:#}");
    assert_eq!(count("hovered"), count("panels"), "{found:#}");
}

#[test]
fn shows_and_answers_at_a_desk() {
    let page = render(&synthetic::run(240, 60_000).input(), Language::English);
    if let Some(found) = findings(&page, "", DESK) {
        assert_well(&found);
    }
}

#[test]
fn shows_and_answers_on_a_phone_in_chinese() {
    let page = render(&synthetic::run(240, 60_000).input(), Language::Chinese);
    if let Some(found) = findings(&page, "", PHONE) {
        assert_eq!(found["width"], PHONE, "{found:#}");
        assert_well(&found);
    }
}

#[test]
fn what_a_system_carries_is_shown_at_a_desk_and_on_a_phone() {
    let saturated = capacity::capacity(Verdict::Held, vec![capacity::saturated()]);
    let odd = capacity::odd();
    for (capacity, language, width, charts) in [
        (&saturated, Language::English, DESK, 2),
        (&saturated, Language::Chinese, PHONE, 2),
        (&odd, Language::English, PHONE, 8),
    ] {
        let page = render_capacity(capacity, language);
        if let Some(found) = findings(&page, "", width) {
            assert_sound(&found);
            assert_eq!(found["counts"]["charts"], charts, "{found:#}");
        }
    }
}

/// A check that cannot fail is none: a page that does what it must not is found out.
#[test]
fn would_be_found_out() {
    let page = render(&synthetic::run(12, 600).input(), Language::English);
    let wrong = "<img src=\"http://127.0.0.1:9/picture.png\"><script>throw new Error('wrong')</script><div style=\"width:4000px\">x</div>\
                 <figure class=\"chart\"><div class=\"area\"><svg></svg></div></figure>";
    if let Some(found) = findings(&page, wrong, DESK) {
        for name in ["console", "errors", "forbidden", "wide", "empty"] {
            assert_ne!(found[name], serde_json::json!([]), "{name} in {found:#}");
        }
    }
}

/// Pictures to look at, into the folder `REPORT_SHOTS`: both themes, both languages, desk and phone. Of the run in the
/// folder `REPORT_RUN`, if that is given.
#[test]
#[ignore = "leaves pictures to look at"]
fn pictures() {
    let folder = std::env::var("REPORT_SHOTS").expect("REPORT_SHOTS says where to");
    let run = match std::env::var("REPORT_RUN") {
        Ok(folder) => synthetic::Run::of_folder(Path::new(&folder)),
        Err(_) => synthetic::run(240, 60_000),
    };
    let shots = [
        ("light", Language::English, "light", DESK, 8_000),
        ("dark", Language::English, "dark", DESK, 8_000),
        ("chinese", Language::Chinese, "light", DESK, 8_000),
        ("phone", Language::English, "light", PHONE, 11_000),
        ("phone-dark-chinese", Language::Chinese, "dark", PHONE, 11_000),
    ];
    for (name, language, theme, width, height) in shots {
        let file = Path::new(&folder).join(format!("{name}.html"));
        fs::write(
            &file,
            render(&run.input(), language).replace(" checked>", ">").replace(
                &format!("value=\"{theme}\" autocomplete=\"off\">"),
                &format!("value=\"{theme}\" autocomplete=\"off\" checked>"),
            ),
        )
        .expect("a file");
        let profile = TempDir::new().expect("a temporary folder");
        let mut command = chromium(profile.path(), width, height).expect("chromium");
        let picture = file.with_extension("png");
        command.arg(format!("--screenshot={}", picture.display())).arg(format!("file://{}", file.display()));
        assert!(command.output().expect("it runs").status.success() && picture.exists(), "{name}");
    }
}
