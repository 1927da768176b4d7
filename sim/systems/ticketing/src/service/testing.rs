//! A small sale on a simulated Redis, for the unit tests of the services.
use std::{future::Future, sync::Arc};

use redis_middleware::Server;

use super::Instance;
use crate::{
    Config,
    config::{ClassOnSale, RunOnSale, Sale},
    domain::{Class, Trip},
    timetable::{Station, TrainRun},
};

/// The only train on sale: four segments, in second class only.
pub(crate) const RUN: &str = "T1@2017-03-31";

/// A trip on that train.
pub(crate) fn trip(from: u32, to: u32) -> Trip {
    Trip { run: RUN.to_owned(), class: Class::Second, from, to }
}

/// A sale of this many seats.
pub(crate) fn config(seats: u32) -> Config {
    let station = |number: u32| Station {
        id: format!("s{number}"),
        name: format!("Station {number}"),
        arrival_s: number * 3600,
        departure_s: number * 3600,
    };
    let train = TrainRun {
        id: RUN.to_owned(),
        name: "T 1".to_owned(),
        date: "2017-03-31".to_owned(),
        stations: (0..5).map(station).collect(),
    };
    let class = ClassOnSale { class: Class::Second, seats, price_per_segment_fen: 500 };
    Config::new(Sale::new(vec![RunOnSale { train, classes: vec![class] }]))
}

/// Runs a test on an instance with a Redis in which the sale is open.
pub(crate) fn on_sale<F, Fut>(config: Config, test: F)
where
    F: FnOnce(Instance) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let outcome = world::sim::run(world::sim::Config::new(1), move || async move {
        let server = Server::new(redis_middleware::Options::default());
        world::host::add("redis-1", move || {
            let server = server.clone();
            async move { server.listen("0.0.0.0:6379").await.expect("listens") }
        });
        let config = Arc::new(config);
        let mut redis =
            wire::redis::Client::new(config.topology.redis.clone(), wire::redis::Options::default());
        // Twice: what is there already stays.
        for _ in 0..2 {
            crate::open_sale(&mut redis, &config.sale).await.expect("the sale opens");
        }
        test(Instance::new(config)).await;
    });
    assert_eq!(outcome.panics, []);
    outcome.result.expect("the test ends");
}
