//! News of the bank and the end of orders, on a simulated Redis without any bank.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::{
    api::SIGNATURE,
    auth,
    domain::PaymentState,
    ids::PaymentId,
    keys,
    records::Payment,
    service::{
        Instance,
        testing::{config, on_sale, order, shard},
    },
};

use super::{
    PaymentService,
    bank::{BankPayment, BankState},
};

fn payment(number: u64) -> PaymentId {
    order(number).payment()
}

fn news(version: u64, state: BankState) -> BankPayment {
    let captured_fen = if state == BankState::Captured { 700 } else { 0 };
    BankPayment { bank_id: "b1".to_owned(), state, version, captured_fen }
}

async fn a_payment(instance: &Instance) -> Arc<PaymentService> {
    let command = redis::cmd("HSET")
        .arg(keys::payment(payment(1)))
        .arg(&[
            ("state", "CREATED"),
            ("order", &order(1).to_string()),
            ("account", "a"),
            ("amount_fen", "700"),
            ("version", "0"),
        ])
        .take();
    instance.store.command::<i64>(&command).await.expect("an answer");
    Arc::new(PaymentService::new(instance))
}

async fn record(service: &PaymentService, payment: PaymentId) -> Payment {
    let record = service.instance.store.record(keys::payment(payment), |fields| Payment::parse(fields)).await;
    record.expect("an answer").expect("a payment")
}

async fn work(service: &PaymentService) -> Vec<String> {
    let list = keys::work(shard(), keys::PAYMENT_WORK);
    let command = redis::cmd("ZRANGE").arg(list).arg(0).arg(-1).take();
    service.instance.store.command(&command).await.expect("an answer")
}

async fn dead_letters(service: &PaymentService) -> Vec<String> {
    let command = redis::cmd("LRANGE").arg(keys::payment_dead_letter(shard())).arg(0).arg(-1).take();
    service.instance.store.command(&command).await.expect("an answer")
}

#[test]
fn older_versions_and_repetitions_are_dropped() {
    on_sale(config(1), |instance| async move {
        let service = a_payment(&instance).await;
        let take_in = async |version, state| {
            let taken_in = service.take_in(payment(1), &news(version, state)).await.expect("an answer");
            (taken_in.is_new, taken_in.state)
        };
        assert_eq!(take_in(2, BankState::Captured).await, (true, PaymentState::Captured));
        assert_eq!(take_in(2, BankState::Captured).await, (false, PaymentState::Captured));
        assert_eq!(take_in(1, BankState::Created).await, (false, PaymentState::Captured));
        assert_eq!(record(&service, payment(1)).await.captured_fen, 700);
        assert_eq!(work(&service).await, [payment(1).to_string()]);
        assert!(service.take_in(payment(2), &news(1, BankState::Created)).await.is_err());
    });
}

#[test]
fn money_that_nobody_waits_for_goes_back() {
    on_sale(config(1), |instance| async move {
        let service = a_payment(&instance).await;
        let state = BankState::Captured;
        assert_eq!(service.unwind(payment(1)).await, Ok(PaymentState::Closed));
        let taken_in = service.take_in(payment(1), &news(2, state)).await.expect("an answer");
        assert_eq!(taken_in.state, PaymentState::Refunding);
        // An order that ended before anybody asked for its payment.
        assert_eq!(service.unwind(payment(2)).await, Ok(PaymentState::Closed));
        assert_eq!(work(&service).await, [payment(1).to_string()]);
        let taken_in = service.take_in(payment(2), &news(2, state)).await.expect("an answer");
        assert_eq!(taken_in.state, PaymentState::Refunding);
        assert_eq!(service.unwind(payment(2)).await, Ok(PaymentState::Refunding));
        let taken_in = service.take_in(payment(2), &news(3, BankState::Refunded)).await.expect("an answer");
        assert_eq!(taken_in.state, PaymentState::Refunded);
        assert_eq!(work(&service).await, [payment(1).to_string()]);
    });
}

#[test]
fn another_amount_than_asked_for_goes_back() {
    on_sale(config(1), |instance| async move {
        let service = a_payment(&instance).await;
        let partial = BankPayment { captured_fen: 1, ..news(2, BankState::Captured) };
        assert_eq!(
            service.take_in(payment(1), &partial).await.expect("an answer").state,
            PaymentState::Refunding
        );
        assert_eq!(record(&service, payment(1)).await.captured_fen, 1);
    });
}

#[test]
fn only_the_bank_can_call_back() {
    on_sale(config(1), |instance| async move {
        let service = a_payment(&instance).await;
        let body = json!({ "payment_id": "b1", "merchant_ref": payment(1), "version": 2, "state": "CAPTURED", "amount_fen": 700 });
        let body = Bytes::from(body.to_string());
        for secret in [None, Some("another-secret")] {
            let mut headers = HeaderMap::new();
            if let Some(secret) = secret {
                headers.insert(SIGNATURE, auth::signature(secret, &body).parse().expect("hex"));
            }
            let error = service.callback(&headers, &body).await.expect_err("refused");
            assert_eq!(error.status, StatusCode::UNAUTHORIZED);
        }
        let mut headers = HeaderMap::new();
        let signature = auth::signature(&instance.config.callback_secret, &body);
        headers.insert(SIGNATURE, signature.parse().expect("hex"));
        assert_eq!(service.callback(&headers, &body).await, Ok(()));
        assert_eq!(record(&service, payment(1)).await.state, PaymentState::Captured);
        let garbage = Bytes::from_static(b"{");
        headers.insert(
            SIGNATURE,
            auth::signature(&instance.config.callback_secret, &garbage).parse().expect("hex"),
        );
        assert_eq!(
            service.callback(&headers, &garbage).await.expect_err("refused").status,
            StatusCode::BAD_REQUEST
        );
    });
}

/// There is no order service: telling it of the capture fails, 1 + 8 times.
#[test]
fn work_that_fails_is_retried_and_becomes_a_dead_letter() {
    on_sale(config(1), |instance| async move {
        let service = a_payment(&instance).await;
        let list = keys::work(shard(), keys::PAYMENT_WORK);
        service.take_in(payment(1), &news(2, BankState::Captured)).await.expect("an answer");
        for failed in 1..=9 {
            assert_eq!(work(&service).await, [payment(1).to_string()]);
            Arc::clone(&service).work(payment(1)).await;
            assert_eq!(record(&service, payment(1)).await.attempts, failed);
            if failed <= 8 {
                let command = redis::cmd("ZSCORE").arg(&list).arg(payment(1).to_string()).take();
                let due: f64 = instance.store.command(&command).await.expect("an answer");
                let now =
                    world::time::system_now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
                let wait = Duration::from_millis(due as u64).saturating_sub(now).as_secs_f64();
                let expected = f64::from(1 << (failed - 1));
                assert!((expected - 0.1..=expected).contains(&wait), "{failed} failed: {wait} s");
            }
        }
        assert!(work(&service).await.is_empty());
        assert_eq!(dead_letters(&service).await, [payment(1).to_string()]);
        assert_eq!(Arc::clone(&service).replay().await.expect("an answer").replayed, 1);
        assert_eq!(work(&service).await, [payment(1).to_string()]);
        assert!(dead_letters(&service).await.is_empty());
        assert_eq!(record(&service, payment(1)).await.attempts, 0);
    });
}
