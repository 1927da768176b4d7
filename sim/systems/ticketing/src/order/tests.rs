//! The admission queue and the idempotency of submissions, on a simulated Redis.
use std::time::Duration;

use http::StatusCode;
use world::time::sleep;

use crate::{
    api::{QueuePlace, QueueState, SubmitOrder, code},
    domain::OrderState,
    ids::{OrderId, QueueToken},
    keys,
    service::{
        Instance, Outcome,
        idempotency::Idempotent,
        testing::{RUN, config, on_sale, order, shard, trip},
    },
};

use super::{OrderService, admission, moves::CLOSE, queue};

async fn join_all(instance: &Instance, accounts: std::ops::Range<u32>) -> Vec<String> {
    let mut tokens = Vec::new();
    for account in accounts {
        tokens.push(queue::join(instance, &format!("a{account}"), RUN).await.expect("a place").token);
    }
    tokens
}

/// Lets somebody in, so that those who come now have to wait.
async fn admit_the_first(instance: &Instance) {
    let place = queue::join(instance, "first", RUN).await.expect("a place");
    assert_eq!(place.state, QueueState::Admitted);
}

async fn poll(instance: &Instance, account: &str, token: &str) -> Outcome<QueuePlace> {
    queue::poll(instance, account, token.parse().expect("a token")).await
}

#[test]
fn places_leave_at_two_percent_of_what_remains() {
    // 500 seats on 4 segments: 2000 remain, so 40 leave per second.
    on_sale(config(500), |instance| async move {
        join_all(&instance, 0..300).await;
        let begin = admission::advance(&instance, RUN).await.expect("an answer");
        for _ in 0..40 {
            sleep(Duration::from_millis(50)).await;
            admission::advance(&instance, RUN).await.expect("an answer");
        }
        let polled_often = admission::advance(&instance, RUN).await.expect("an answer");
        let law =
            |from: &admission::Standing, to: &admission::Standing| 40 * (to.now_ms - from.now_ms) / 1000;
        let left = polled_often.head - begin.head;
        assert!(left.abs_diff(law(&begin, &polled_often)) <= 3, "{left} left");
        // Nobody asks for a while: those who wait lose nothing by it.
        sleep(Duration::from_secs(3)).await;
        let asked_late = admission::advance(&instance, RUN).await.expect("an answer");
        let left = asked_late.head - begin.head;
        assert!(left.abs_diff(law(&begin, &asked_late)) <= 3, "{left} left");
        // Half of the stock goes: the rate halves.
        let stock = keys::stock(shard(), RUN, crate::domain::Class::Second);
        let half = redis::cmd("HSET").arg(stock).arg(&[(0, 0), (1, 0)]).take();
        instance.store.command::<i64>(&half).await.expect("an answer");
        sleep(Duration::from_secs(1)).await;
        let slower = admission::advance(&instance, RUN).await.expect("an answer");
        assert_eq!(slower.remaining, 1000);
        assert!((19..=22).contains(&(slower.head - asked_late.head)), "{slower:?}");
    });
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    on_sale(config(500), |instance| async move {
        join_all(&instance, 0..300).await;
        let begin = admission::advance(&instance, RUN).await.expect("an answer");
        let redis = world::host::find("redis-1").expect("the host of Redis");
        redis.jump_clock(world::host::Shift::Backward(Duration::from_secs(60)));
        for _ in 0..20 {
            admission::advance(&instance, RUN).await.expect("an answer");
            sleep(Duration::from_millis(100)).await;
        }
        let left = admission::advance(&instance, RUN).await.expect("an answer").head - begin.head;
        // The queue has last moved on within a quarter of a second.
        assert!((69..=83).contains(&left), "40 per second for 2 s, but {left} left");
    });
}

/// Nobody has to ask again who does not have to wait.
#[test]
fn where_nobody_waits_the_next_one_is_admitted_at_once() {
    on_sale(config(500), |instance| async move {
        for account in ["alice", "bob"] {
            let place = queue::join(&instance, account, RUN).await.expect("a place");
            assert_eq!((place.state, place.wait_ms), (QueueState::Admitted, Some(0)), "{account}");
            let next = queue::join(&instance, &format!("{account}-2"), RUN).await.expect("a place");
            assert_eq!((next.state, next.ahead), (QueueState::Waiting, 0), "{account}");
            sleep(Duration::from_secs(1)).await;
            assert_eq!(queue::join(&instance, account, RUN).await.expect("the same").token, place.token);
        }
    });
}

#[test]
fn a_lull_is_no_burst() {
    on_sale(config(500), |instance| async move {
        admission::advance(&instance, RUN).await.expect("an answer");
        sleep(Duration::from_secs(60)).await;
        join_all(&instance, 0..20).await;
        let standing = admission::advance(&instance, RUN).await.expect("an answer");
        assert!(standing.head <= 4, "{standing:?}");
    });
}

#[test]
fn the_queue_has_an_end() {
    let mut config = config(500);
    config.queue.waiting_max = 5;
    on_sale(config, |instance| async move {
        // The first one is admitted at once, the others wait.
        let tokens = join_all(&instance, 0..6).await;
        let refused = queue::join(&instance, "late", RUN).await.expect_err("no place");
        assert_eq!((refused.status, refused.code.as_ref()), (StatusCode::CONFLICT, code::STANDBY_OFFERED));
        // Who has a place keeps it.
        assert_eq!(queue::join(&instance, "a3", RUN).await.expect("a place").token, tokens[3]);
        assert!(poll(&instance, "a4", &tokens[3]).await.is_err());
        sleep(Duration::from_secs(1)).await;
        let place = poll(&instance, "a3", &tokens[3]).await.expect("a place");
        assert_eq!((place.state, place.position), (QueueState::Admitted, 4));
    });
}

#[test]
fn a_slow_queue_offers_standby() {
    // 4 seats of segments remain: one leaves every 12.5 s.
    on_sale(config(1), |instance| async move {
        let tokens = join_all(&instance, 0..5).await;
        let refused = queue::join(&instance, "late", RUN).await.expect_err("no place");
        assert_eq!(refused.code, code::STANDBY_OFFERED);
        let place = poll(&instance, "a4", &tokens[4]).await.expect("a place");
        assert_eq!((place.state, place.ahead), (QueueState::Waiting, 3));
        sleep(Duration::from_secs(51)).await;
        let place = poll(&instance, "a1", &tokens[1]).await.expect("a place");
        assert_eq!(place.state, QueueState::Admitted);
        sleep(Duration::from_secs(15 * 60)).await;
        assert_eq!(
            poll(&instance, "a1", &tokens[1]).await.expect_err("expired").status,
            StatusCode::NOT_FOUND
        );
    });
}

fn wanted(token: &str, passengers: u32) -> SubmitOrder {
    SubmitOrder { trip: trip(0, 2), passengers, queue_token: token.to_owned() }
}

/// Without inventory and seat hosts an order stays in PLACING: nobody knows whether it will come about.
#[test]
fn a_key_is_bound_to_one_order() {
    on_sale(config(500), |instance| async move {
        let service = OrderService::new(&instance, 1);
        admit_the_first(&instance).await;
        let tokens = join_all(&instance, 0..2).await;
        let submit = async |account: &str, key: &str, wanted: SubmitOrder| {
            service.submit(account, key, &wanted).await.expect_err("no inventory")
        };
        assert_eq!(submit("a0", "k", wanted(&tokens[0], 1)).await.code, code::NOT_ADMITTED);
        admit_all(&instance).await;
        assert_eq!(submit("a1", "k", wanted(&tokens[0], 1)).await.code, code::TOKEN_REFUSED);
        for _ in 0..2 {
            let error = submit("a0", "k", wanted(&tokens[0], 1)).await;
            assert_eq!(error.status, StatusCode::GATEWAY_TIMEOUT, "{error}");
        }
        assert_eq!(submit("a0", "k", wanted(&tokens[0], 2)).await.code, code::IDEMPOTENCY_CONFLICT);
        assert_eq!(submit("a0", "k2", wanted(&tokens[0], 1)).await.code, code::TOKEN_REFUSED);
        let [order] = placing(&instance).await[..] else { panic!("one order") };
        // It never was open: there is nothing to close, and nothing to cancel.
        let outcome = service.orders.make(&CLOSE, order, &[]).await.expect("an answer");
        assert_eq!((outcome.moved, outcome.state), (false, OrderState::Placing));
        let error = service.cancel("a0", "k3", order).await.expect_err("no such order for its buyer");
        assert_eq!(error.status, StatusCode::NOT_FOUND);
    });
}

async fn placing(instance: &Instance) -> Vec<OrderId> {
    let list = keys::work(shard(), keys::ORDER_PLACING);
    let command = redis::cmd("ZRANGE").arg(list).arg(0).arg(-1).take();
    let ids: Vec<String> = instance.store.command(&command).await.expect("an answer");
    ids.iter().map(|id| id.parse().expect("an order id")).collect()
}

/// What a submission of `wanted(_, 1)` binds its key to.
fn submission<'a>(account: &'a str, key: &'a str) -> Idempotent<'a> {
    Idempotent { account, key, digest: format!("submit {RUN} second 0-2 x1") }
}

async fn admit_all(instance: &Instance) {
    sleep(Duration::from_secs(1)).await;
    admission::advance(instance, RUN).await.expect("an answer");
}

#[test]
fn a_key_whose_submission_was_refused_is_good_for_the_same_submission() {
    on_sale(config(500), |instance| async move {
        let service = OrderService::new(&instance, 1);
        admit_the_first(&instance).await;
        let tokens = join_all(&instance, 0..1).await;
        let submit = async |token: &str, passengers| {
            service.submit("a0", "k", &wanted(token, passengers)).await.expect_err("no inventory")
        };
        let unknown = QueueToken::new(shard(), 0, 7).to_string();
        assert_eq!(submit(&unknown, 1).await.code, code::TOKEN_REFUSED);
        assert_eq!(submit(&tokens[0], 1).await.code, code::NOT_ADMITTED);
        admit_all(&instance).await;
        assert_eq!(submit(&tokens[0], 2).await.code, code::IDEMPOTENCY_CONFLICT);
        assert_eq!(placing(&instance).await, []);
        assert_eq!(submit(&tokens[0], 1).await.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(placing(&instance).await.len(), 1);
    });
}

#[test]
fn a_repetition_goes_on_where_a_crash_has_left_the_key() {
    on_sale(config(500), |instance| async move {
        let service = OrderService::new(&instance, 1);
        let tokens = join_all(&instance, 0..1).await;
        admit_all(&instance).await;
        let bound = submission("a0", "k").bind(&instance, order(7)).await.expect("an answer");
        assert_eq!((bound.order, bound.outcome), (order(7), None));
        for _ in 0..2 {
            service.submit("a0", "k", &wanted(&tokens[0], 1)).await.expect_err("no inventory");
            assert_eq!(placing(&instance).await, [order(7)]);
        }
        // The place is used up: who joins again gets another one.
        assert_ne!(queue::join(&instance, "a0", RUN).await.expect("a place").token, tokens[0]);
    });
}

#[test]
fn an_order_id_that_is_taken_is_replaced() {
    on_sale(config(500), |instance| async move {
        let service = OrderService::new(&instance, 1);
        let tokens = join_all(&instance, 0..2).await;
        admit_all(&instance).await;
        for (account, token) in [("a0", &tokens[0]), ("a1", &tokens[1])] {
            submission(account, "k").bind(&instance, order(7)).await.expect("an answer");
            for _ in 0..2 {
                service.submit(account, "k", &wanted(token, 1)).await.expect_err("no inventory");
            }
        }
        let [first, second] = placing(&instance).await[..] else { panic!("two orders") };
        assert!(first == order(7) && second != order(7), "{first} {second}");
        let bound = submission("a1", "k").bind(&instance, order(8)).await.expect("an answer");
        assert_eq!(bound.order, second);
    });
}

#[test]
fn the_first_answer_to_a_cancellation_stays() {
    on_sale(config(500), |instance| async move {
        let service = OrderService::new(&instance, 1);
        let put = async |state: &str| {
            let order = keys::order(order(7));
            let trip = [("run", RUN), ("class", "second"), ("from", "0"), ("to", "2"), ("passengers", "1")];
            let numbers = [("amount_fen", "1"), ("created_ms", "1"), ("pay_by_ms", "1"), ("version", "1")];
            let texts = [("state", state), ("account", "a0"), ("currency", "CNY"), ("key", "k")];
            let command = redis::cmd("HSET").arg(order).arg(&trip).arg(&numbers).arg(&texts).take();
            instance.store.command::<i64>(&command).await.expect("an answer");
        };
        let cancel = async |account: &str, key: &str| match service.cancel(account, key, order(7)).await {
            Ok(_) => "cancelled".to_owned(),
            Err(error) => error.code.to_string(),
        };
        put("PAID").await;
        assert_eq!(cancel("a1", "k").await, code::NOT_FOUND);
        assert_eq!(cancel("a0", "early").await, code::TOO_LATE);
        put("WAIT_PAY").await;
        assert_eq!(cancel("a0", "early").await, code::TOO_LATE);
        for _ in 0..2 {
            assert_eq!(cancel("a0", "late").await, "cancelled");
        }
        assert_eq!(cancel("a0", "early").await, code::TOO_LATE);
        // Two copies of one request come to different outcomes: that which is kept first is the answer to both.
        let copy = Idempotent { account: "a0", key: "copy", digest: format!("cancel {}", order(7)) };
        assert_eq!(copy.conclude(&instance, order(7), "PAID").await.as_deref(), Ok("PAID"));
        assert_eq!(cancel("a0", "copy").await, code::TOO_LATE);
        assert_eq!(copy.conclude(&instance, order(7), "CLOSED").await.as_deref(), Ok("PAID"));
    });
}

#[test]
fn nonsense_is_refused() {
    on_sale(config(500), |instance| async move {
        let service = OrderService::new(&instance, 1);
        let mut strange = vec![wanted("t", 0), wanted("t", 6), wanted("a:b", 1)];
        for trip in [trip(2, 2), trip(3, 1), trip(0, 5), trip(0, u32::MAX)] {
            strange.push(SubmitOrder { trip, ..wanted("t", 1) });
        }
        strange.push(SubmitOrder {
            trip: crate::domain::Trip { run: "x".to_owned(), ..trip(0, 1) },
            ..wanted("t", 1)
        });
        for request in strange {
            let error = service.submit("a", "k", &request).await.expect_err("refused");
            assert!(
                matches!(error.status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND),
                "{request:?}: {error}"
            );
        }
    });
}
