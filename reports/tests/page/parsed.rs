//! A page, read as a browser reads it.

use record::result::RunResult;
use scraper::{ElementRef, Html, Selector};

/// The page as a tree of elements.
pub(crate) fn parse(page: &str) -> Html {
    let html = Html::parse_document(page);
    assert!(html.errors.is_empty(), "this is not HTML: {:?}", html.errors);
    html
}

/// All elements that a selector of style sheets finds.
pub(crate) fn all<'a>(html: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(selector).expect("a selector");
    html.select(&selector).collect()
}

/// The only element that it finds.
pub(crate) fn one<'a>(html: &'a Html, selector: &str) -> ElementRef<'a> {
    let found = all(html, selector);
    let [element] = found[..] else { panic!("{selector} finds {}", found.len()) };
    element
}

/// Those within an element.
pub(crate) fn within<'a>(element: ElementRef<'a>, selector: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(selector).expect("a selector");
    element.select(&selector).collect()
}

/// What a reader reads in it.
pub(crate) fn text(element: ElementRef<'_>) -> String {
    element.text().collect()
}

/// The result that the page carries for programs.
pub(crate) fn carried(html: &Html) -> RunResult {
    RunResult::from_json(&text(one(html, "script#result"))).expect("a result")
}
