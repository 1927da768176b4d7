//! wip
#[test]
#[ignore = "wip"]
fn dump() {
    let run = crate::synthetic::run(240, 60_000);
    for l in reports::page::Language::ALL {
        std::fs::write(
            format!("/tmp/w/shots/page-{}.html", l.code()),
            reports::page::render(&run.input(), l),
        )
        .expect("written");
    }
}
