//! The ticket sale as the harness sees it: which servers and services run on which hosts, how the sale opens, what
//! buyers do, and which promises are checked.
//!
//! | to find | look in |
//! | --- | --- |
//! | Redis, alone or as a cluster | `redis` |
//! | the promises | [`invariants`] |
//! | what the promises look at | `facts`, `monitor` |
//! | which acknowledged writes are missing | `losses` |
//! | the planted mistakes, of the services and of Redis | `mutants` |
//! | what people may see while it runs | `instruments` |
//! | the settings | `settings` |
//! | who got tickets | `summary` |
//! | changes of the store, as lines of the run's story | `telling` |

mod facts;
mod instruments;
mod invariants;
mod losses;
mod monitor;
mod mutants;
mod redis;
mod settings;
mod summary;
mod telling;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use partners::payment::Bank;
use partners::payment::ledger::{Entry, EntryKind, Refusal};
use record::history::History;
use record::mutant::Mutant;
use scenarios::{Scenario, Settings, SystemVocabulary};
use ticketing::api::Replayed;
use ticketing::buyers::{self, Buyers, Visit};
use ticketing::config::{Service, Topology};
use ticketing::timetable::{Timetable, TrainRun};
use ticketing::{Config, services};
use world::host::{self, Host};
use world::net::{self, Latency};
use world::time;

use self::invariants::money::Movement;
use self::monitor::Monitor;
use self::settings::BUYER_HOSTS;
use crate::rehearsal::{ALWAYS, NO_PANIC};
use crate::system::{BoxFuture, Conclusion, Customer, Instruments, Production, System};

/// Tries to open the sale before the system counts as not having come up, a second apart.
const OPENING_TRIES: u32 = 10;
/// How long the operator waits for an answer.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(10);
/// The hosts beside those of the services.
const BANK: &str = "bank-1";

/// The railway ticket sale.
#[derive(Debug, Default)]
pub struct Ticketing {
    /// The timetable that comes along, read once for all runs of this process.
    built_in: OnceLock<Result<Timetable, String>>,
    /// The trains of the sales so far: a hunt plays the same sale again and again.
    chosen: Mutex<BTreeMap<settings::Trains, Vec<TrainRun>>>,
}

impl Ticketing {
    /// What is on sale by these settings.
    fn sale(&self, settings: &Settings) -> Result<ticketing::config::Sale, String> {
        let asked = settings::Trains::asked(settings);
        let mut chosen = crate::lock(&self.chosen);
        let trains = match chosen.get(&asked) {
            Some(trains) => trains.clone(),
            None => {
                let trains = self.choose(&asked)?;
                chosen.insert(asked, trains.clone());
                trains
            }
        };
        settings::sale(settings, &trains)
    }

    fn choose(&self, asked: &settings::Trains) -> Result<Vec<TrainRun>, String> {
        if let Some(path) = &asked.timetable {
            return asked.choose(&settings::read_timetable(path)?);
        }
        let read = || Timetable::built_in().map_err(|error| error.to_string());
        asked.choose(self.built_in.get_or_init(read).as_ref()?)
    }
}

impl System for Ticketing {
    fn vocabulary(&self) -> SystemVocabulary {
        let mut hosts = self.survivable_hosts();
        hosts.extend(redis::hosts());
        hosts.push(BANK.to_owned());
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        SystemVocabulary {
            name: "ticketing".to_owned(),
            journeys: owned(buyers::JOURNEYS),
            operations: owned(buyers::operation::ALL),
            settings: settings::declared(),
            hosts,
            invariants: owned(&[invariants::NAMES, &[ALWAYS, NO_PANIC]].concat()),
            mutants: mutants::ALL.iter().map(|mutant| mutant.name.to_owned()).collect(),
        }
    }

    fn mutants(&self) -> &'static [Mutant] {
        &mutants::ALL
    }

    fn focuses(&self) -> &'static [(&'static str, &'static str)] {
        &[("order", ""), ("payment", ""), ("ticket", ""), ("train", ""), ("buyer", "buyer-")]
    }

    /// The services are stateless. What becomes of Redis is a matter of settings, which a swarm does not know.
    fn survivable_hosts(&self) -> Vec<String> {
        let topology = Topology::default();
        Service::ALL.iter().flat_map(|service| topology.hosts(*service)).collect()
    }

    fn prepare(&self, scenario: &Scenario) -> Result<Box<dyn Production>, String> {
        let settings = &scenario.settings;
        let redis = redis::plan(scenario)?;
        let mut config = settings::config(settings, self.sale(settings)?);
        config.topology.redis = redis.address();
        let config = Arc::new(config);
        let monitor = Monitor::new(&config, redis.masters());
        let bank = Bank::new(settings::bank_options(settings, &config));
        let profile = settings::profile(settings);
        let cores = settings::cores(settings);
        Ok(Box::new(Sale { config, cores, redis, monitor, bank, profile, staged: None }))
    }
}

/// A sale made ready for one run.
struct Sale {
    config: Arc<Config>,
    /// Of each host of a service, where their work is modelled.
    cores: Option<usize>,
    redis: redis::Plan,
    monitor: Monitor,
    bank: Bank,
    profile: buyers::Profile,
    staged: Option<Staged>,
}

/// What exists once the sale is staged.
struct Staged {
    history: History,
    buyers: Buyers,
    buyer_hosts: Vec<Host>,
}

impl Production for Sale {
    fn stage(&mut self, history: &History) -> BoxFuture<Result<(), String>> {
        self.redis.stage(&self.monitor);
        add_bank(&self.bank, &self.monitor);
        let monitor = self.monitor.clone();
        history.observe(Box::new(move |operation| monitor.on_operation(operation)));
        let buyers = Buyers::new(Arc::clone(&self.config), history.clone(), self.profile.clone());
        let buyer_hosts = add_buyer_hosts();
        self.staged = Some(Staged { history: history.clone(), buyers, buyer_hosts: buyer_hosts.clone() });
        let (config, cores, redis) = (Arc::clone(&self.config), self.cores, self.redis.clone());
        Box::pin(async move {
            redis.form().await?;
            // Not before: until then they would look for work every now and then, and find no Redis.
            for service in Service::ALL {
                for instance in 1..=config.topology.instances(*service) {
                    let host = add_service(*service, instance, &config);
                    if let Some(cores) = cores {
                        host.set_cores(cores);
                    }
                }
            }
            put_far_away(&buyer_hosts, &config.topology);
            open_sale(&config).await
        })
    }

    fn customer(&self, journey: &str, customer: Customer) -> (Host, BoxFuture<()>) {
        let staged = self.staged();
        let Customer { number, patience, operations } = customer;
        let host = staged.buyer_hosts[number as usize % staged.buyer_hosts.len()];
        let buyers = staged.buyers.clone();
        let visit = Visit { buyer: number, patience, operations };
        let customer: BoxFuture<()> = match journey {
            "query" => Box::pin(buyers.journey_query(visit)),
            _ => Box::pin(buyers.journey_buy(visit)),
        };
        (host, customer)
    }

    fn instruments(&self) -> Instruments {
        instruments::of(&self.monitor, &self.redis)
    }

    fn at_rest(&self) -> bool {
        self.monitor.at_rest()
    }

    /// An operator replays the dead letters.
    fn wind_up(&self) -> BoxFuture<bool> {
        let letters = self.monitor.dead_letters();
        let topology = self.config.topology.clone();
        Box::pin(async move {
            if letters > 0 {
                // A refusal shows by the letters that are left: the liveness invariant looks at them.
                let client = wire::http::Client::default();
                for address in topology.addresses(Service::Payment) {
                    if replay_dead_letters(&client, &address).await {
                        break;
                    }
                }
            }
            letters > 0
        })
    }

    fn conclude(&mut self) -> Conclusion {
        let staged = self.staged();
        let invariants = self.monitor.conclude(&staged.history);
        let tables = self.monitor.with_facts(|facts| summary::tables(&self.config, facts, &staged.buyers));
        let lost = staged.history.with_operations(|operations| self.monitor.lost(operations));
        let (noticed, failovers) = (self.monitor.noticed(), self.monitor.failovers());
        Conclusion { invariants, tables, noticed, failovers, lost }
    }
}

impl Sale {
    fn staged(&self) -> &Staged {
        self.staged.as_ref().expect("the harness stages a production before it uses it")
    }
}

fn add_bank(bank: &Bank, monitor: &Monitor) {
    let monitor = monitor.clone();
    bank.ledger().observe(Box::new(move |entry: &Entry, _| {
        let movement = match &entry.kind {
            EntryKind::Captured => Movement::Captured(entry.amount_fen),
            EntryKind::Refunded { .. } => Movement::Refunded(entry.amount_fen),
            EntryKind::RefundRefused {
                refusal: Refusal::RefundExceedsCapture | Refusal::NotCaptured,
                ..
            } => Movement::ExcessRefund(entry.amount_fen),
            EntryKind::Created | EntryKind::Closed | EntryKind::RefundRefused { .. } => return,
        };
        monitor.on_movement(&entry.merchant_ref, movement);
    }));
    let bank = bank.clone();
    host::add(BANK, move || {
        let bank = bank.clone();
        async move {
            bank.run("0.0.0.0:80").await.expect("the port of a fresh host is free");
        }
    });
}

fn add_service(service: Service, instance: usize, config: &Arc<Config>) -> Host {
    let config = Arc::clone(config);
    host::add(&Topology::host(service, instance), move || {
        let config = Arc::clone(&config);
        async move {
            match service {
                Service::Gateway => services::gateway::run(config, instance).await,
                Service::Order => services::order::run(config, instance).await,
                Service::Inventory => services::inventory::run(config, instance).await,
                Service::Seat => services::seat::run(config, instance).await,
                Service::Payment => services::payment::run(config, instance).await,
                Service::Ticketing => services::ticketing::run(config, instance).await,
            }
        }
    })
}

/// The hosts that buyers act from.
fn add_buyer_hosts() -> Vec<Host> {
    (1..=BUYER_HOSTS).map(|number| host::add(&format!("buyers-{number}"), || async {})).collect()
}

/// Buyers reach the sale and the bank over the internet.
fn put_far_away(buyers: &[Host], topology: &Topology) {
    let names = topology.hosts(Service::Gateway).into_iter().chain([BANK.to_owned()]);
    let reached: Vec<Host> = names.filter_map(|name| host::find(&name)).collect();
    let internet = Latency::internet();
    for (buyers, server) in
        buyers.iter().flat_map(|buyers| reached.iter().map(move |server| (*buyers, *server)))
    {
        net::set_latency(buyers, server, &internet);
    }
}

/// Writes the stock and the seats; waits for Redis to come up.
async fn open_sale(config: &Config) -> Result<(), String> {
    let mut redis = ticketing::Link::new(config);
    let mut last = String::new();
    for _ in 0..OPENING_TRIES {
        match ticketing::open_sale(&mut redis, config).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        time::sleep(Duration::from_secs(1)).await;
    }
    Err(format!("the sale cannot be opened: {last}"))
}

/// True when an instance of the payment service has taken the order.
async fn replay_dead_letters(client: &wire::http::Client, address: &str) -> bool {
    let replayed: Result<Replayed, _> =
        client.post_json(address, "/internal/dead-letters/replay", &(), OPERATOR_PATIENCE).await;
    replayed.is_ok()
}
