//! Buyers against a gateway and a bank of their own, in a simulation.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use record::history::{History, Outcome};
use serde_json::{Value, json};
use wire::http::ApiError;
use world::net::TcpListener;

use super::{Buyers, Profile, Tally, Visit, demand::Demand, operation};
use crate::{
    Config,
    api::{IDEMPOTENCY_KEY, code},
    config::{ClassOnSale, RunOnSale, Sale},
    domain::{CURRENCY, Class},
    timetable::{Station, TrainRun},
};

fn sale(trains: usize) -> Sale {
    let station = |number: u32| Station {
        id: format!("s{number}"),
        name: format!("Station {number}"),
        arrival_s: number * 3600,
        departure_s: number * 3600,
    };
    let run = |number: usize| RunOnSale {
        train: TrainRun {
            id: format!("T{number}@2017-03-31"),
            name: format!("T {number}"),
            date: "2017-03-31".to_owned(),
            stations: (0..8).map(station).collect(),
        },
        classes: vec![ClassOnSale { class: Class::Second, seats: 10, price_per_segment_fen: 100 }],
    };
    Sale::new((0..trains).map(run).collect())
}

/// Everybody wants the same: look, queue, buy at once, pay at once.
fn straight() -> Profile {
    Profile {
        first_class: 0.0,
        look_first: 1.0,
        leave_queue: 0.0,
        submit_twice: 0.0,
        cancel: 0.0,
        cancel_after_paying: 0.0,
        never_pay: 0.0,
        pay_late: 0.0,
        pay_twice: 0.0,
        second_choice: 0.0,
        ..Profile::default()
    }
}

fn order(state: &str) -> Value {
    json!({ "order_id": "o1", "state": state, "run": "T0@2017-03-31", "class": "second", "from": 0, "to": 3,
        "passengers": 1, "seats": ["01-01"], "tickets": [], "amount_fen": 300, "currency": CURRENCY,
        "pay_by": "2017-03-01T00:00:00Z" })
}

fn place(state: &str) -> Value {
    json!({ "token": "t1", "state": state, "position": 4, "ahead": 3, "wait_ms": 2000 })
}

fn placed() -> Option<Response> {
    Some((StatusCode::CREATED, Json(order("WAIT_PAY"))).into_response())
}

/// Keys of the submissions that arrived.
type Keys = Arc<Mutex<Vec<String>>>;

/// The answer to the n-th submission, from 0; `None` is no answer at all.
type Submit = fn(usize) -> Option<Response>;

/// A gateway that lets everybody buy as far as `submit` does.
fn gateway(keys: &Keys, submit: Submit) -> Router {
    let keys = Arc::clone(keys);
    let submit = move |headers: HeaderMap| {
        let key = headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
        let mut keys = keys.lock().expect("a lock");
        keys.push(key.to_owned());
        let answer = submit(keys.len() - 1);
        async {
            match answer {
                Some(response) => response,
                None => std::future::pending().await,
            }
        }
    };
    let payment = || {
        Json(
            json!({ "payment_id": "p1", "bank_id": "b1", "pay_url": "gateway-2:80/bank/pay", "state": "CREATED",
            "amount_fen": 300, "currency": CURRENCY }),
        )
    };
    Router::new()
        .route("/v1/trains/{run}/remaining", get(|| async { Json(json!({ "remaining": 7 })) }))
        .route("/v1/queue", post(|| async { Json(place("waiting")) }))
        .route("/v1/queue/{token}", get(|| async { Json(place("admitted")) }))
        .route("/v1/orders", post(submit))
        .route("/v1/orders/{id}", get(|| async { Json(order("SUCCESS")) }))
        .route("/v1/payments", post(move || async move { payment() }))
        .route("/bank/pay", post(|| async { Json(json!({ "state": "CAPTURED", "version": 2 })) }))
}

/// An operation: name, key, outcome, value.
type Seen = (&'static str, Option<String>, Outcome, Option<String>);

/// One buyer; what was recorded, the keys that arrived, the tally of all trains.
fn played(gateways: &'static [&'static str], submit: Submit) -> (Vec<Seen>, Vec<String>, Tally) {
    played_at_most(gateways, submit, None)
}

/// As [`played`], by a buyer who makes so many operations.
fn played_at_most(
    gateways: &'static [&'static str],
    submit: Submit,
    operations: Option<u64>,
) -> (Vec<Seen>, Vec<String>, Tally) {
    let (history, keys) = (History::new(), Keys::default());
    let (recorded, arrived) = (history.clone(), Arc::clone(&keys));
    let outcome = world::sim::run(world::sim::Config::new(3), move || async move {
        for name in ["gateway-1", "gateway-2"] {
            let router = gateway(&arrived, submit);
            world::host::add(name, move || {
                let router = router.clone();
                async move {
                    if gateways.contains(&name) {
                        let listener = TcpListener::bind("0.0.0.0:80").await.expect("bound");
                        wire::http::serve(listener, router).await;
                    }
                }
            });
        }
        let buyers = Buyers::new(Arc::new(Config::new(sale(1))), recorded, straight());
        let visit = Visit { buyer: 1, patience: None, operations };
        buyers.clone().journey_buy(visit).await;
        buyers.tally()
    });
    assert_eq!(outcome.panics, []);
    let tally = outcome.result.expect("the buyer leaves");
    let operations = history.with_operations(|operations| {
        let seen = operations.iter().map(|operation| {
            let outcome = operation.outcome.expect("completed");
            (operation.name, operation.key.clone(), outcome, operation.value.clone())
        });
        seen.collect()
    });
    let keys = keys.lock().expect("a lock").clone();
    (operations, keys, tally.values().next().cloned().unwrap_or_default())
}

const BOTH: &[&str] = &["gateway-1", "gateway-2"];

#[test]
fn a_buyer_gets_a_ticket() {
    let (operations, _, tally) = played(BOTH, |_| placed());
    let names: Vec<&str> = operations.iter().map(|operation| operation.0).collect();
    let (remaining, join, poll) = (operation::REMAINING, operation::JOIN, operation::POLL);
    let (submit, create, pay) = (operation::SUBMIT, operation::CREATE_PAYMENT, operation::PAY);
    assert_eq!(names, [remaining, join, poll, submit, create, pay, operation::STATUS]);
    assert!(operations.iter().all(|operation| operation.2 == Outcome::Ok), "{operations:?}");
    let values: Vec<&str> = operations.iter().filter_map(|operation| operation.3.as_deref()).collect();
    assert_eq!(values, ["7", "waiting 4", "admitted 4", "o1", "p1", "CAPTURED", "o1 SUCCESS"]);
    assert_eq!((tally.arrived, tally.ticketed, tally.gave_up), (1, 1, 0));
}

#[test]
fn a_buyer_leaves_after_as_many_operations_as_there_are_to_be() {
    let all = played(BOTH, |_| placed()).0;
    for operations in 1..all.len() {
        let (seen, _, tally) = played_at_most(BOTH, |_| placed(), Some(operations as u64));
        assert_eq!(seen, all[..operations], "the first ones, all of them complete");
        assert_eq!((tally.arrived, tally.ticketed), (1, 0));
    }
    assert_eq!(played_at_most(BOTH, |_| placed(), Some(all.len() as u64)).0, all);
}

#[test]
fn an_unknown_submission_is_repeated_with_its_key() {
    let (operations, keys, tally) = played(BOTH, |number| match number {
        0 => None,
        1 => Some(ApiError::unknown("no answer").into_response()),
        2 => Some(ApiError::nothing_happened("try again").into_response()),
        3 => Some(
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, code::TOO_MANY_REQUESTS, "later").into_response(),
        ),
        _ => placed(),
    });
    let submitted: Vec<_> = operations.iter().filter(|operation| operation.0 == operation::SUBMIT).collect();
    assert!(submitted.iter().all(|operation| operation.1 == submitted[0].1 && operation.1.is_some()));
    let outcomes: Vec<Outcome> = submitted.iter().map(|operation| operation.2).collect();
    use Outcome::{Failed, Ok, Refused, Unknown};
    assert_eq!(outcomes, [Unknown, Unknown, Failed, Refused, Ok]);
    assert!(keys.len() == 5 && keys.iter().all(|key| Some(key) == keys.first()));
    assert_eq!(tally.ticketed, 1);
}

#[test]
fn sold_out_is_a_clear_no() {
    let (operations, _, tally) = played(BOTH, |_| {
        Some(ApiError::new(StatusCode::CONFLICT, code::SOLD_OUT, "no seat").into_response())
    });
    let last = operations.last().expect("operations");
    assert_eq!((last.0, last.2, last.3.as_deref()), (operation::SUBMIT, Outcome::Refused, Some("sold_out")));
    assert_eq!((tally.sold_out, tally.ticketed), (1, 0));
}

#[test]
fn a_buyer_finds_the_gateway_that_is_up_and_gives_up_when_there_is_none() {
    let (operations, ..) = played(&["gateway-2"], |_| placed());
    assert!(operations.iter().all(|operation| operation.2 == Outcome::Ok), "{operations:?}");
    let (operations, _, tally) = played(&[], |_| None);
    assert!(operations.len() > 5 && operations.iter().all(|operation| operation.2 == Outcome::Failed));
    assert_eq!(tally.gave_up, 1);
}

#[test]
fn demand_prefers_hot_trains_and_long_trips() {
    let drawn = world::sim::run(world::sim::Config::new(5), || async {
        let sale = sale(5);
        let demand = Demand::new(&sale, &Profile { hotness: 1.0, ..Profile::default() });
        let (mut runs, mut segments) = (BTreeMap::<String, u32>::new(), 0);
        for _ in 0..10_000 {
            let wish = demand.draw(&sale).expect("a sale");
            assert!(wish.trip.from < wish.trip.to && wish.trip.to <= 7 && (1..=3).contains(&wish.passengers));
            segments += wish.trip.segments();
            *runs.entry(wish.trip.run).or_default() += 1;
        }
        assert_eq!(Demand::new(&Sale::default(), &Profile::default()).draw(&Sale::default()), None);
        (runs.into_values().collect::<Vec<_>>(), f64::from(segments) / 10_000.0)
    });
    let (runs, segments) = drawn.result.expect("drawn");
    assert!(runs.len() == 5 && runs.is_sorted_by(|a, b| a > b), "{runs:?}");
    assert!((4_100..4_700).contains(&runs[0]), "1 / (1 + 1/2 + 1/3 + 1/4 + 1/5) of the demand: {runs:?}");
    // Of two random trips of 7 segments, 3 on average, the longer has about 3.9.
    assert!((3.6..4.2).contains(&segments), "{segments}");
}
