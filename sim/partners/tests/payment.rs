//! The bank over its own HTTP, in a simulation, from a good day to the worst.
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::HeaderMap, routing::post};
use http::StatusCode;
use partners::payment::{
    Bank, Options,
    api::{Callback, CreatePayment, CreateRefund, Pay, PaymentView, RefundView, State},
    ledger::EntryKind,
    signature,
};
use wire::http::{CallError, Client};
use world::{net::TcpListener, sim, time::sleep};

const BANK: &str = "bank-1:80";
const BUDGET: Duration = Duration::from_secs(3);

/// What the merchant was told: (when, callback, whether its signature is right).
type Told = Arc<Mutex<Vec<(Duration, Callback, bool)>>>;

fn simulate(test: impl Future<Output = ()> + Send + 'static) {
    let outcome = sim::run(sim::Config::new(11), || test);
    assert_eq!(outcome.panics, []);
    outcome.result.expect("the test runs to its end");
}

fn stage(options: Options) -> (Bank, world::host::Host, Told) {
    let told = Told::default();
    let (secret, heard) = (options.callback_secret.clone(), Arc::clone(&told));
    let hook = move |headers: HeaderMap, body: bytes::Bytes| {
        let is_signed = headers.get("x-signature").is_some_and(|hex| *hex == signature(&secret, &body));
        let callback = serde_json::from_slice(&body).expect("a callback");
        heard.lock().expect("a lock").push((sim::elapsed(), callback, is_signed));
        async { StatusCode::OK }
    };
    let router = Router::new().route("/callbacks", post(hook));
    world::host::add("merchant", move || {
        let router = router.clone();
        async move { wire::http::serve(TcpListener::bind("0.0.0.0:80").await.expect("bound"), router).await }
    });
    let bank = Bank::new(options);
    let booted = bank.clone();
    let host = world::host::add("bank-1", move || {
        let bank = booted.clone();
        async move { bank.run("0.0.0.0:80").await.expect("bound") }
    });
    (bank, host, told)
}

fn payment(merchant_ref: &str) -> CreatePayment {
    CreatePayment {
        merchant_ref: merchant_ref.to_owned(),
        amount_fen: 500,
        currency: "CNY".to_owned(),
        notify: vec!["absent:80/callbacks".to_owned(), "merchant:80/callbacks".to_owned()],
    }
}

async fn create(client: &Client, merchant_ref: &str) -> Result<PaymentView, CallError> {
    client.post_json(BANK, "/v1/payments", &payment(merchant_ref), BUDGET).await
}

async fn pay(client: &Client, bank_id: &str, payer: &str) -> Result<PaymentView, CallError> {
    client
        .post_json(BANK, &format!("/v1/payments/{bank_id}/pay"), &Pay { payer: payer.to_owned() }, BUDGET)
        .await
}

async fn refund(
    client: &Client,
    bank_id: &str,
    name: &str,
    amount_fen: u64,
) -> Result<RefundView, CallError> {
    let request = CreateRefund { refund_ref: name.to_owned(), bank_id: bank_id.to_owned(), amount_fen };
    client.post_json(BANK, "/v1/refunds", &request, BUDGET).await
}

fn code(result: Result<impl std::fmt::Debug, CallError>) -> String {
    match result {
        Err(CallError::Api(error)) => error.code.into_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_good_day() {
    simulate(async {
        let (bank, _, told) = stage(Options::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let entries = Arc::clone(&seen);
        bank.ledger().observe(Box::new(move |entry, payment| {
            entries.lock().expect("a lock").push((entry.kind.clone(), payment.view.version));
        }));
        let client = Client::default();
        let created = create(&client, "p1").await.expect("created");
        assert_eq!(create(&client, "p1").await.expect("the same"), created);
        let other = CreatePayment { amount_fen: 501, ..payment("p1") };
        let conflict = client.post_json::<_, PaymentView>(BANK, "/v1/payments", &other, BUDGET).await;
        assert_eq!(code(conflict), "reference_conflict");
        let id = created.bank_id.as_str();
        assert_eq!(code(refund(&client, id, "r0", 1).await), "not_captured");
        assert_eq!(pay(&client, id, "anna").await.expect("paid").state, State::Captured);
        assert_eq!(pay(&client, id, "anna").await.expect("a repetition").version, 2);
        assert_eq!(code(pay(&client, id, "ben").await), "already_captured");
        assert_eq!(
            refund(&client, id, "r1", 200).await.expect("refunded").payment.state,
            State::PartlyRefunded
        );
        assert_eq!(code(refund(&client, id, "r2", 301).await), "refund_exceeds_capture");
        assert_eq!(refund(&client, id, "r1", 200).await.expect("a repetition").payment.refunded_fen, 200);
        assert_eq!(refund(&client, id, "r3", 300).await.expect("refunded").payment.state, State::Refunded);
        sleep(Duration::from_secs(20)).await;
        let mut versions: Vec<(u64, bool)> =
            told.lock().expect("a lock").iter().map(|told| (told.1.version, told.2)).collect();
        versions.sort_unstable();
        assert_eq!(versions, [(2, true), (3, true), (4, true)]);
        let found: PaymentView =
            client.get_json(BANK, "/v1/payments?merchant_ref=p1", BUDGET).await.expect("found");
        assert_eq!((found.state, found.version), (State::Refunded, 4));
        let kinds: Vec<EntryKind> = seen.lock().expect("a lock").iter().map(|seen| seen.0.clone()).collect();
        let refused = kinds.iter().filter(|kind| matches!(kind, EntryKind::RefundRefused { .. })).count();
        assert_eq!((kinds.len(), refused), (6, 2));
    });
}

#[test]
fn a_closed_payment_is_not_captured_and_nonsense_is_refused() {
    simulate(async {
        stage(Options::default());
        let client = Client::default();
        let id = create(&client, "p1").await.expect("created").bank_id;
        let close = format!("/v1/payments/{id}/close");
        let closed: PaymentView = client.post_json(BANK, &close, &(), BUDGET).await.expect("closed");
        assert_eq!(closed.state, State::Closed);
        assert_eq!(code(pay(&client, &id, "anna").await), "payment_closed");
        assert_eq!(code(pay(&client, "bank-9", "anna").await), "unknown_payment");
        let nonsense = client.post_json::<_, PaymentView>(BANK, "/v1/payments", &[1, 2], BUDGET).await;
        assert_eq!(code(nonsense), "bad_request");
    });
}

#[test]
fn timeouts_before_the_effect_never_do_it_and_after_the_effect_always() {
    for (before, after) in [(1.0, 0.0), (0.0, 1.0)] {
        simulate(async move {
            let (bank, ..) = stage(Options {
                timeouts_before_effect: before,
                timeouts_after_effect: after,
                ..Options::default()
            });
            let error = create(&Client::default(), "p1").await.expect_err("a timeout");
            assert!(error.is_unknown(), "{error}");
            sleep(Duration::from_secs(60)).await;
            assert_eq!(bank.ledger().by_merchant_ref("p1").is_some(), after == 1.0);
        });
    }
}

/// Plays many payments with one kind of trouble and gives what the merchant was told, by payment.
fn told_with(options: Options, then: impl FnOnce(&BTreeMap<String, Vec<(u64, bool)>>) + Send + 'static) {
    simulate(async move {
        let (_, _, told) = stage(options);
        let client = Client::default();
        for number in 0..100 {
            let id = create(&client, &format!("p{number}")).await.expect("created").bank_id;
            sleep(Duration::from_secs(3)).await;
            pay(&client, &id, "anna").await.expect("paid");
        }
        sleep(Duration::from_secs(100)).await;
        let mut by_payment = BTreeMap::<String, Vec<(u64, bool)>>::new();
        for (_, callback, is_signed) in told.lock().expect("a lock").iter() {
            by_payment.entry(callback.merchant_ref.clone()).or_default().push((callback.version, *is_signed));
        }
        then(&by_payment);
    });
}

#[test]
fn callbacks_are_duplicated() {
    told_with(Options { callback_duplicates: 1.0, ..Options::default() }, |told| {
        assert!(told.len() == 100 && told.values().all(|told| *told == [(2, true), (2, true)]));
    });
}

#[test]
fn older_versions_come_after_newer_ones() {
    told_with(Options { callback_reorders: 1.0, ..Options::default() }, |told| {
        let late = told.values().filter(|told| **told == [(2, true), (1, true)]).count();
        assert!(late > 50, "{late}");
    });
}

#[test]
fn callbacks_get_lost_in_part_or_altogether() {
    told_with(Options { callback_losses: 1.0, ..Options::default() }, |told| {
        assert!((30..70).contains(&told.len()), "{}", told.len());
    });
}

#[test]
fn forgeries_come_before_the_truth_with_a_wrong_signature() {
    told_with(Options { callback_forgeries: 1.0, ..Options::default() }, |told| {
        // The first of the two addresses has nobody, and nobody repeats a forgery.
        assert!(told.values().all(|told| *told == [(2, true)]));
    });
    simulate(async {
        let (_, _, told) = stage(Options { callback_forgeries: 1.0, ..Options::default() });
        let request = CreatePayment { notify: vec!["merchant:80/callbacks".to_owned()], ..payment("p1") };
        Client::default()
            .post_json::<_, PaymentView>(BANK, "/v1/payments", &request, BUDGET)
            .await
            .expect("created");
        sleep(Duration::from_secs(10)).await;
        let told = told.lock().expect("a lock");
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].1.state, told[0].2), (State::Captured, false));
    });
}

#[test]
fn books_and_callbacks_survive_a_crash() {
    simulate(async {
        let (_, host, told) = stage(Options::default());
        let client = Client::default();
        let id = create(&client, "p1").await.expect("created").bank_id;
        pay(&client, &id, "anna").await.expect("paid");
        host.crash();
        sleep(Duration::from_secs(30)).await;
        assert_eq!(told.lock().expect("a lock").len(), 0);
        host.boot();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(told.lock().expect("a lock").len(), 1);
        // Who still has a connection from before the crash learns of that by a reset.
        pay(&client, &id, "anna").await.expect_err("the bank has forgotten the connection");
        assert_eq!(pay(&client, &id, "anna").await.expect("a repetition").state, State::Captured);
    });
}
