//! A folder that is damaged, half-written, or of another version is refused, with the file, the place and the reason.

use std::fs;
use std::path::{Path, PathBuf};

use reports::page::Language;
use reports::run_folder::{self, Error};
use tempfile::TempDir;

use crate::runs;

/// The whole folder of a run, before anything happens to it.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    run_folder::write(folder.path(), &runs::violated().record(), Language::English)
        .expect("a folder that can be written");
    folder
}

/// What reading says after one file has been changed.
fn refusal(name: &str, change: impl FnOnce(String) -> Vec<u8>) -> (Error, PathBuf) {
    let folder = folder();
    let path = folder.path().join(name);
    let text = fs::read_to_string(&path).expect("a file of the run");
    fs::write(&path, change(text)).expect("a file that can be written");
    match run_folder::read(folder.path()) {
        Err(error) => (error, path),
        Ok(_) => panic!("{} is read although it is damaged", path.display()),
    }
}

/// The message, without the path of the file, which it must begin with.
fn said(name: &str, change: impl FnOnce(String) -> String) -> String {
    let (error, path) = refusal(name, |text| change(text).into_bytes());
    let message = error.to_string();
    let rest = message.strip_prefix(&path.display().to_string());
    rest.unwrap_or_else(|| panic!("{message} begins with {}", path.display())).to_owned()
}

fn replaced(from: &'static str, to: &'static str) -> impl FnOnce(String) -> String {
    move |text| {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text.replacen(from, to, 1)
    }
}

#[test]
fn a_whole_folder_is_read_as_it_was_written_and_rendered_again() {
    let folder = folder();
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a file");
    let before = (read("report.html"), read("summary.md"), read("junit.xml"));
    let record = run_folder::read(folder.path()).expect("a whole folder");
    let written = runs::violated().record();
    assert_eq!(record.result.to_json(), written.result.to_json());
    assert_eq!((&record.timeline, &record.latency_log), (&written.timeline, &written.latency_log));
    for name in ["report.html", "summary.md", "junit.xml"] {
        fs::remove_file(folder.path().join(name)).expect("a file");
    }
    run_folder::render(folder.path(), &record, Language::English).expect("a folder that can be written");
    assert_eq!((read("report.html"), read("summary.md"), read("junit.xml")), before);
}

#[test]
fn what_is_no_folder_of_a_run_is_refused() {
    let folder = folder();
    let refused = |path: &Path| run_folder::read(path).expect_err("no folder of a run").to_string();
    let nowhere = folder.path().join("nowhere");
    let expected = "expected the folder of a run, with result.json, timeline.json and latency.hlog";
    assert_eq!(refused(&nowhere), format!("{} does not exist: {expected}", nowhere.display()));
    let file = folder.path().join("result.json");
    assert_eq!(refused(&file), format!("{} is a file: {expected}", file.display()));
}

#[test]
fn a_half_written_folder_is_refused() {
    for name in ["result.json", "timeline.json", "latency.hlog"] {
        let folder = folder();
        let path = folder.path().join(name);
        fs::remove_file(&path).expect("a file");
        let error = run_folder::read(folder.path()).expect_err("a folder without it");
        let expected = format!(
            "{} is missing: the folder is half-written, or of an older rehearse; play the run again",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
        fs::create_dir(&path).expect("a folder");
        let error = run_folder::read(folder.path()).expect_err("a folder in its place");
        assert!(matches!(&error, Error::Io { action: "read", path: at, .. } if *at == path), "{error:?}");
    }
    let half = |text: String| text[..text.len() / 2].to_owned();
    let message = said("result.json", half);
    assert!(message.starts_with(':') && message.contains(": not a result: EOF while parsing"), "{message}");
    let message = said("timeline.json", half);
    assert!(
        message.starts_with(":1:") && message.contains(": not a timeline: EOF while parsing"),
        "{message}"
    );
    assert_eq!(said("result.json", |_| String::new()), ":1:0: not a result: EOF while parsing a value");
    // Half of a log that ends in the middle of a line.
    let message = said("latency.hlog", |text| text[..text.len() - 40].to_owned());
    assert!(message.contains(": not a latency log of this run: "), "{message}");
}

#[test]
fn another_version_is_refused() {
    let newer = ": a result of schema 2, expected 1: read it with the newer rehearse that wrote it";
    assert_eq!(said("result.json", replaced("\"schema\": 1", "\"schema\": 2")), newer);
    // Also when nothing else of it is as it was.
    assert_eq!(said("result.json", |_| "{\"schema\": 2, \"result\": []}".to_owned()), newer);
    let older = ": a timeline of schema 0, expected 1: play the run again";
    assert_eq!(said("timeline.json", replaced("\"schema\":1", "\"schema\":0")), older);
}

#[test]
fn damage_is_refused_with_its_place() {
    let said_of_result = |from, to| said("result.json", replaced(from, to));
    assert_eq!(
        said_of_result("\"violated\"", "\"broken\""),
        ":11:21: not a result: unknown variant `broken`, expected one of `held`, `violated`, `slow`, `invalid`"
    );
    assert_eq!(said_of_result("\"seed\": 42,", ""), ":197:1: not a result: missing field `seed`");
    assert_eq!(
        said_of_result("\"seed\": 42", "\"seed\": -1"),
        ":6:12: not a result: invalid value: integer `-1`, expected u64"
    );
    assert!(said_of_result("{", "[").starts_with(":2:"), "a list in place of an object");
    let said_of_timeline = |from, to| said("timeline.json", replaced(from, to));
    assert_eq!(
        said_of_timeline("[null,12.0]", "[12.0]"),
        ": not a timeline: the gauge \"remaining\" of \"stock\" has 1 windows, expected 2"
    );
    assert_eq!(
        said_of_timeline("\"windows\":2", "\"windows\":99999999999"),
        ": not a timeline: windows is 99999999999, expected 1 to 10000"
    );
    assert_eq!(
        said_of_timeline("\"window_s\":1.0", "\"window_s\":-1.0"),
        ": not a timeline: window_s is -1, expected more than 0"
    );
    assert_eq!(
        said_of_timeline(
            "\"links\":[]",
            "\"links\":[{\"from\":\"a\",\"to\":\"b\",\"messages\":1,\"bytes\":2}]"
        ),
        ": not a timeline: a link names the host \"a\", which is not among the hosts"
    );
    let (error, path) = refusal("result.json", |_| vec![0xff, 0xfe, 0]);
    assert_eq!(error.to_string(), format!("{}:1:1: not a result: expected value", path.display()));
}

#[test]
fn a_latency_log_that_is_none_or_of_another_run_is_refused() {
    let said_of_log = |change: &dyn Fn(String) -> String| said("latency.hlog", change);
    let prefix = ": not a latency log of this run: ";
    let message = said_of_log(&|text| text + "\nwhat is this\n");
    assert_eq!(message, format!("{prefix}line 7 is no line of an interval log"));
    let message = said_of_log(&|text| text.replace("Tag=order.submit,", "Tag=order.sold,"));
    assert_eq!(message, format!("{prefix}result.json knows no operation order.sold"));
    let message = said_of_log(&|text| text.clone() + &text);
    assert!(message.starts_with(&format!("{prefix}it has ")), "{message}");
    let message = said_of_log(&|text| text.replace("Tag=order.submit,", ""));
    assert!(message.ends_with(" has no tag, expected the name of an operation"), "{message}");
    let message = said_of_log(&|text| text.replace(",HISTF", ",HISTG"));
    assert!(message.contains(" holds no HdrHistogram of the deflated V2 encoding"), "{message}");
}

/// Whatever is done to one byte, or cut off: an answer or a refusal, never a panic, and never without the file's name.
#[test]
fn no_damage_is_too_odd() {
    for name in ["result.json", "timeline.json", "latency.hlog"] {
        let folder = folder();
        let path = folder.path().join(name);
        let whole = fs::read(&path).expect("a file of the run");
        let step = (whole.len() / 97).max(1);
        for place in (0..whole.len()).step_by(step) {
            for byte in [0, b'9', b'"', b'A', 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = byte;
                fs::write(&path, &damaged).expect("a file that can be written");
                if let Err(error) = run_folder::read(folder.path()) {
                    assert!(error.to_string().contains(name), "{error}");
                }
            }
            // The line break at the end says nothing.
            let cut = place.min(whole.len() - 2);
            fs::write(&path, &whole[..cut]).expect("a file that can be written");
            assert!(run_folder::read(folder.path()).is_err(), "{name} cut at {cut} is read");
        }
    }
}
