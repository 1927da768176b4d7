//! The scripts of the stock, and the cache in front of it, on a simulated Redis.
use std::{sync::Arc, time::Duration};

use world::host;

use crate::{
    api::{AboutOrder, Deduct, DeductOutcome, GiveBack, Moved},
    service::{
        Instance,
        testing::{config, on_sale, order, trip},
    },
};

use super::{query::RemainingCache, stock::Stock};

fn deduct(order: u64, from: u32, to: u32, seats: u32) -> Deduct {
    Deduct { order: self::order(order), trip: trip(from, to), seats }
}

fn give_back(order: u64, even_sold: bool) -> GiveBack {
    GiveBack { order: self::order(order), trip: trip(0, 4), even_sold }
}

fn about(order: u64) -> AboutOrder {
    AboutOrder { order: self::order(order) }
}

/// What remains of each segment.
async fn remaining(stock: &Stock) -> Vec<u32> {
    stock.segments(&trip(0, 4)).await.expect("an answer")
}

fn stock_test<F>(test: impl FnOnce(Stock) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    on_sale(config(3), |instance: Instance| test(Stock { instance }));
}

#[test]
fn all_segments_or_none() {
    stock_test(|stock| async move {
        assert_eq!(stock.deduct(&deduct(1, 1, 3, 2)).await, Ok(DeductOutcome::Held));
        assert_eq!(remaining(&stock).await, [3, 1, 1, 3]);
        // Segments 0 and 3 have enough, those between have not.
        assert_eq!(stock.deduct(&deduct(2, 0, 4, 2)).await, Ok(DeductOutcome::SoldOut));
        assert_eq!(remaining(&stock).await, [3, 1, 1, 3]);
        assert_eq!(stock.deduct(&deduct(3, 0, 4, 1)).await, Ok(DeductOutcome::Held));
        assert_eq!(remaining(&stock).await, [2, 0, 0, 2]);
    });
}

#[test]
fn a_decision_stays() {
    stock_test(|stock| async move {
        for _ in 0..2 {
            assert_eq!(stock.deduct(&deduct(1, 0, 4, 3)).await, Ok(DeductOutcome::Held));
            assert_eq!(stock.deduct(&deduct(2, 0, 1, 1)).await, Ok(DeductOutcome::SoldOut));
            assert_eq!(remaining(&stock).await, [0; 4]);
        }
        for _ in 0..2 {
            assert_eq!(stock.release(&give_back(1, false)).await, Ok(Moved::Done));
            assert_eq!(remaining(&stock).await, [3; 4]);
        }
        // Sold out once is sold out for this order, whatever came back since.
        assert_eq!(stock.deduct(&deduct(2, 0, 1, 1)).await, Ok(DeductOutcome::SoldOut));
    });
}

#[test]
fn a_late_deduction_finds_the_tombstone() {
    stock_test(|stock| async move {
        assert_eq!(stock.release(&give_back(1, false)).await, Ok(Moved::Done));
        assert_eq!(stock.deduct(&deduct(1, 0, 4, 1)).await, Ok(DeductOutcome::Released));
        assert_eq!(stock.sell(&about(1)).await, Ok(Moved::Refused));
        assert_eq!(remaining(&stock).await, [3; 4]);
    });
}

#[test]
fn sold_stock_comes_back_only_by_compensation() {
    stock_test(|stock| async move {
        assert_eq!(stock.sell(&about(1)).await, Ok(Moved::Refused));
        assert_eq!(stock.deduct(&deduct(1, 0, 4, 1)).await, Ok(DeductOutcome::Held));
        for _ in 0..2 {
            assert_eq!(stock.sell(&about(1)).await, Ok(Moved::Done));
            assert_eq!(stock.deduct(&deduct(1, 0, 4, 1)).await, Ok(DeductOutcome::Held));
        }
        assert_eq!(stock.release(&give_back(1, false)).await, Ok(Moved::Refused));
        assert_eq!(remaining(&stock).await, [2; 4]);
        for _ in 0..2 {
            assert_eq!(stock.release(&give_back(1, true)).await, Ok(Moved::Done));
            assert_eq!(remaining(&stock).await, [3; 4]);
        }
    });
}

#[test]
fn a_look_may_be_half_a_second_old() {
    stock_test(|stock| async move {
        let stock = Arc::new(stock);
        let cache = RemainingCache::new(Arc::clone(&stock));
        assert_eq!(cache.of(&trip(0, 4)).await, Ok(3));
        assert_eq!(stock.deduct(&deduct(1, 1, 3, 2)).await, Ok(DeductOutcome::Held));
        assert_eq!(cache.of(&trip(0, 2)).await, Ok(3), "from the cache, whatever the trip");
        world::time::sleep(Duration::from_millis(501)).await;
        assert_eq!(cache.of(&trip(0, 2)).await, Ok(1));
        assert_eq!(cache.of(&trip(3, 4)).await, Ok(3));
        assert!(cache.of(&trip(3, 9)).await.is_err(), "no such segment");
    });
}

#[test]
fn looks_that_come_together_ask_the_store_once() {
    stock_test(|stock| async move {
        let stock = Arc::new(stock);
        let cache = RemainingCache::new(Arc::clone(&stock));
        let commands = async || {
            let info: String = stock
                .instance
                .store
                .command(redis::cmd("INFO").arg("commandstats"))
                .await
                .expect("an answer");
            let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls="));
            line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"))
        };
        let before: u64 = commands().await;
        let (first, second) = (trip(0, 1), trip(2, 4));
        let looks = tokio::join!(biased; cache.of(&first), cache.of(&second));
        assert_eq!(looks, (Ok(3), Ok(3)));
        assert_eq!(commands().await - before, 1);
    });
}

#[test]
fn what_the_store_last_said_is_told_while_it_is_gone() {
    stock_test(|stock| async move {
        let cache = RemainingCache::new(Arc::new(stock));
        assert_eq!(cache.of(&trip(0, 4)).await, Ok(3));
        host::find("redis-1").expect("the host of Redis").crash();
        for _ in 0..3 {
            world::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(cache.of(&trip(0, 4)).await, Ok(3));
        }
    });
}

#[test]
fn without_an_answer_ever_there_is_an_error() {
    stock_test(|stock| async move {
        let cache = RemainingCache::new(Arc::new(stock));
        host::find("redis-1").expect("the host of Redis").crash();
        assert!(cache.of(&trip(0, 4)).await.is_err());
    });
}
