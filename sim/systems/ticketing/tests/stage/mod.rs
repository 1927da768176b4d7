//! A whole sale on a simulated stage: services, Redis, bank, buyers; crashes on demand; and what must hold.
pub(crate) mod audit;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use audit::Watch;
use partners::payment::{Bank, Ledger};
use record::history::History;
use redis_middleware::Server;
use world::{host, time::sleep};

use super::tested::{
    self, Config,
    buyers::{Buyers, Profile, Visit},
    config::{ClassOnSale, RunOnSale, Sale, Service, Topology},
    domain::Class,
    services,
    timetable::{Station, TrainRun},
};

/// What is played.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) seed: u64,
    pub(crate) config: Config,
    pub(crate) bank: partners::payment::Options,
    pub(crate) profile: Profile,
    /// Buyers, who come evenly over `load`.
    pub(crate) buyers: u64,
    pub(crate) load: Duration,
    /// Hosts that crash at a time and boot again after a while.
    pub(crate) crashes: Vec<(Duration, Duration, String)>,
    pub(crate) mutants: BTreeSet<String>,
}

impl Play {
    pub(crate) fn new(seed: u64) -> Play {
        let mut config = Config::new(sale(3, 8, 12));
        config.pay_within = Duration::from_secs(20);
        config.place_within = Duration::from_secs(10);
        config.queue.share_per_second = 0.2;
        Play {
            seed,
            config,
            bank: partners::payment::Options::default(),
            profile: Profile::default(),
            buyers: 300,
            load: Duration::from_secs(15),
            crashes: Vec::new(),
            mutants: BTreeSet::new(),
        }
    }

    pub(crate) fn with_mutant(mut self, name: &str) -> Play {
        self.mutants.insert(name.to_owned());
        self
    }
}

/// What came of it.
pub(crate) struct Played {
    /// What did not hold, in the order in which it was noticed.
    pub(crate) wrong: Vec<String>,
    /// Orders by final state, with the reason of those that ended without a ticket.
    pub(crate) orders: BTreeMap<String, u64>,
    pub(crate) fingerprint: u128,
}

/// Trains with as many stations and as many second class seats; a quarter of that in first class.
pub(crate) fn sale(trains: usize, stations: u32, seats: u32) -> Sale {
    let station = |number: u32| Station {
        id: format!("s{number}"),
        name: format!("Station {number}"),
        arrival_s: number * 3600,
        departure_s: number * 3600,
    };
    let class = |class, seats, price_per_segment_fen| ClassOnSale { class, seats, price_per_segment_fen };
    let run = |number: usize| RunOnSale {
        train: TrainRun {
            id: format!("T{number}@2017-03-31"),
            name: format!("T {number}"),
            date: "2017-03-31".to_owned(),
            stations: (0..stations).map(station).collect(),
        },
        classes: vec![class(Class::First, seats / 4, 900), class(Class::Second, seats, 500)],
    };
    Sale::new((0..trains).map(run).collect())
}

/// Boots every host of a topology and opens the sale.
pub(crate) async fn stage(config: &Arc<Config>, server: &Server, bank: &Bank) {
    let server_here = server.clone();
    host::add("redis-1", move || {
        let server = server_here.clone();
        async move { server.listen("0.0.0.0:6379").await.expect("listens") }
    });
    let bank = bank.clone();
    host::add("bank-1", move || {
        let bank = bank.clone();
        async move { bank.run("0.0.0.0:80").await.expect("listens") }
    });
    let mut redis = tested::Link::new(config);
    tested::open_sale(&mut redis, config).await.expect("the sale opens");
    for service in Service::ALL {
        for instance in 1..=config.topology.instances(*service) {
            let config = Arc::clone(config);
            host::add(&Topology::host(*service, instance), move || {
                boot(*service, Arc::clone(&config), instance)
            });
        }
    }
    sleep(Duration::from_millis(10)).await;
}

async fn boot(service: Service, config: Arc<Config>, instance: usize) {
    match service {
        Service::Gateway => services::gateway::run(config, instance).await,
        Service::Order => services::order::run(config, instance).await,
        Service::Inventory => services::inventory::run(config, instance).await,
        Service::Seat => services::seat::run(config, instance).await,
        Service::Payment => services::payment::run(config, instance).await,
        Service::Ticketing => services::ticketing::run(config, instance).await,
    }
}

/// Plays a sale to its rest.
pub(crate) fn play(play: Play) -> Played {
    let watch = Watch::new(&play.config.sale);
    let result = Arc::new(Mutex::new((Vec::new(), Default::default())));
    let mut sim = world::sim::Config::new(play.seed);
    sim.mutants = play.mutants.clone();
    let (watching, judged) = (watch, Arc::clone(&result));
    let outcome = world::sim::run(sim, move || async move {
        let server = Server::new(redis_middleware::Options {
            observer: Some(watching.observer()),
            ..redis_middleware::Options::default()
        });
        let bank = Bank::new(play.bank.clone());
        let config = Arc::new(play.config.clone());
        stage(&config, &server, &bank).await;
        for (at, down, name) in play.crashes.clone() {
            world::task::spawn(async move {
                sleep(at).await;
                let host = host::find(&name).expect("a host of this name");
                host.crash();
                sleep(down).await;
                host.boot();
            });
        }
        let buyers = Buyers::new(Arc::clone(&config), History::new(), play.profile.clone());
        let mut journeys = Vec::new();
        for buyer in 0..play.buyers {
            sleep(play.load / u32::try_from(play.buyers).expect("few buyers")).await;
            journeys.push(world::task::spawn(buyers.clone().journey_buy(Visit {
                buyer,
                patience: None,
                operations: None,
            })));
        }
        for journey in journeys {
            journey.await.expect("a buyer leaves");
        }
        let stuck = come_to_rest(&config, &server).await;
        let ledger: Ledger = bank.ledger();
        let mut wrong = watching.wrong();
        wrong.extend(stuck);
        wrong.extend(server.inspect(|keyspace| audit::at_rest(keyspace, &config, &ledger)));
        let orders = server.inspect(audit::orders_by_state);
        *judged.lock().expect("a lock") = (wrong, orders);
    });
    let (mut wrong, orders) = std::mem::take(&mut *result.lock().expect("a lock"));
    wrong.extend(outcome.panics.iter().map(|panic| format!("panic: {panic:?}")));
    if let Err(error) = outcome.result {
        wrong.push(error.to_string());
    }
    Played { wrong, orders, fingerprint: outcome.fingerprint }
}

/// How long the system may take, in seconds: eight tries, twice as far from each other each time, take 255 s, and so do
/// those of a dead letter that is replayed.
const REST_WITHIN_S: u32 = 2 * 255 + 30;

/// Waits until no work is left, and replays dead letters like an operator would.
async fn come_to_rest(config: &Arc<Config>, server: &Server) -> Option<String> {
    let mut left = String::new();
    for _ in 0..REST_WITHIN_S {
        sleep(Duration::from_secs(1)).await;
        left = server.inspect(audit::work_left);
        if left.is_empty() {
            return None;
        }
        if left.contains(tested::keys::PAYMENT_DEAD_LETTER) {
            let client = wire::http::Client::default();
            let address = &config.topology.addresses(Service::Payment)[0];
            let within = Duration::from_secs(2);
            let _ = client
                .post_json::<_, tested::api::Replayed>(address, "/internal/dead-letters/replay", &(), within)
                .await;
        }
    }
    Some(format!("work is left at rest: {left}"))
}
