//! The journey of somebody who only looks: a few trains, a few trips, no purchase.
use std::time::Duration;

use world::time::Instant;

use super::{
    Shared,
    browser::{Ask, Browser},
    demand::Wish,
    operation, pause,
};
use crate::api::Remaining;

/// Most looks of one visitor.
const LOOKS_MAX: u64 = 6;

/// Looks at one to six trips with time to read between them.
pub(super) async fn journey(shared: &Shared, browser: &mut Browser<'_>, patience: Duration) {
    let until = Instant::now() + patience;
    for _ in 0..world::rand::range(1..LOOKS_MAX + 1) {
        let Some(wish) = shared.demand.draw(&shared.config.sale) else { return };
        look(browser, &wish).await;
        pause(shared.profile.think).await;
        if Instant::now() > until {
            return;
        }
    }
}

/// Looks once how many tickets are left for a trip; `None` if there was no answer.
pub(super) async fn look(browser: &mut Browser<'_>, wish: &Wish) -> Option<u32> {
    let trip = &wish.trip;
    let (run, class) = (&trip.run, trip.class);
    let target = format!("/v1/trains/{run}/remaining?class={class}&from={}&to={}", trip.from, trip.to);
    let ask = Ask::get(operation::REMAINING, target, run);
    let answer = browser.ask(&ask, |remaining: &Remaining| remaining.remaining.to_string()).await;
    answer.ok().map(|remaining| remaining.remaining)
}
