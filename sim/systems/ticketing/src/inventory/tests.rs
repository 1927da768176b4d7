//! The scripts of the stock, on a simulated Redis.
use crate::{
    api::{AboutOrder, Deduct, DeductOutcome, GiveBack, Moved},
    service::{
        Instance,
        testing::{config, on_sale, trip},
    },
};

use super::stock::Stock;

fn deduct(order: &str, from: u32, to: u32, seats: u32) -> Deduct {
    Deduct { order: order.to_owned(), trip: trip(from, to), seats }
}

fn give_back(order: &str, even_sold: bool) -> GiveBack {
    GiveBack { order: order.to_owned(), trip: trip(0, 4), even_sold }
}

fn about(order: &str) -> AboutOrder {
    AboutOrder { order: order.to_owned() }
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
        assert_eq!(stock.deduct(&deduct("a", 1, 3, 2)).await, Ok(DeductOutcome::Held));
        assert_eq!(remaining(&stock).await, [3, 1, 1, 3]);
        // Segments 0 and 3 have enough, those between have not.
        assert_eq!(stock.deduct(&deduct("b", 0, 4, 2)).await, Ok(DeductOutcome::SoldOut));
        assert_eq!(remaining(&stock).await, [3, 1, 1, 3]);
        assert_eq!(stock.deduct(&deduct("c", 0, 4, 1)).await, Ok(DeductOutcome::Held));
        assert_eq!(remaining(&stock).await, [2, 0, 0, 2]);
        assert_eq!(stock.remaining(&trip(0, 4)).await, Ok(0));
    });
}

#[test]
fn a_decision_stays() {
    stock_test(|stock| async move {
        for _ in 0..2 {
            assert_eq!(stock.deduct(&deduct("a", 0, 4, 3)).await, Ok(DeductOutcome::Held));
            assert_eq!(stock.deduct(&deduct("b", 0, 1, 1)).await, Ok(DeductOutcome::SoldOut));
            assert_eq!(remaining(&stock).await, [0; 4]);
        }
        for _ in 0..2 {
            assert_eq!(stock.release(&give_back("a", false)).await, Ok(Moved::Done));
            assert_eq!(remaining(&stock).await, [3; 4]);
        }
        // Sold out once is sold out for this order, whatever came back since.
        assert_eq!(stock.deduct(&deduct("b", 0, 1, 1)).await, Ok(DeductOutcome::SoldOut));
    });
}

#[test]
fn a_late_deduction_finds_the_tombstone() {
    stock_test(|stock| async move {
        assert_eq!(stock.release(&give_back("a", false)).await, Ok(Moved::Done));
        assert_eq!(stock.deduct(&deduct("a", 0, 4, 1)).await, Ok(DeductOutcome::Released));
        assert_eq!(stock.sell(&about("a")).await, Ok(Moved::Refused));
        assert_eq!(remaining(&stock).await, [3; 4]);
    });
}

#[test]
fn sold_stock_comes_back_only_by_compensation() {
    stock_test(|stock| async move {
        assert_eq!(stock.sell(&about("a")).await, Ok(Moved::Refused));
        assert_eq!(stock.deduct(&deduct("a", 0, 4, 1)).await, Ok(DeductOutcome::Held));
        for _ in 0..2 {
            assert_eq!(stock.sell(&about("a")).await, Ok(Moved::Done));
            assert_eq!(stock.deduct(&deduct("a", 0, 4, 1)).await, Ok(DeductOutcome::Held));
        }
        assert_eq!(stock.release(&give_back("a", false)).await, Ok(Moved::Refused));
        assert_eq!(remaining(&stock).await, [2; 4]);
        for _ in 0..2 {
            assert_eq!(stock.release(&give_back("a", true)).await, Ok(Moved::Done));
            assert_eq!(remaining(&stock).await, [3; 4]);
        }
    });
}
