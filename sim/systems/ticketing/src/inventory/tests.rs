//! The scripts of the stock, on a simulated Redis.
use crate::{
    api::{AboutOrder, Deduct, DeductOutcome, GiveBack, Moved},
    service::{
        Instance,
        testing::{config, on_sale, order, trip},
    },
};

use super::stock::Stock;

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
    let mut all = Vec::new();
    for segment in 0..4 {
        all.push(stock.remaining(&trip(segment, segment + 1)).await.expect("an answer"));
    }
    all
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
        assert_eq!(stock.remaining(&trip(0, 4)).await, Ok(0));
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
