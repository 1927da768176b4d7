//! The settings of the ticket sale: what scenario files and `--set` may say, and what becomes of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use partners::payment::{Delay, Options as BankOptions};
use scenarios::{Setting, Settings, Value};
use ticketing::Config;
use ticketing::buyers::Profile;
use ticketing::config::{ClassOnSale, QueueRules, RateLimit, RunOnSale, Sale, WorkRules};
use ticketing::domain::Class;
use ticketing::shards::Shards;
use ticketing::timetable::{Timetable, TrainRun};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// Hosts that buyers act from.
pub(super) const BUYER_HOSTS: usize = 4;

/// Every setting.
pub(super) fn declared() -> Vec<Setting> {
    let mut all = on_sale();
    all.extend(rules());
    all.extend(work());
    all.extend(processors());
    all.extend(bank());
    all.extend(buyers());
    all.extend(super::redis::settings());
    all
}

fn on_sale() -> Vec<Setting> {
    vec![
        Setting::file("timetable", "GTFS feed (.zip); the DB long-distance timetable of 2017 unless given"),
        Setting::text(
            "date",
            "",
            "the service day that is sold, YYYY-MM-DD; the busiest of the feed unless given",
        ),
        Setting::integer(
            "trains.count",
            20,
            1..=5_000,
            "how many trains are sold: those with most segments first",
        ),
        Setting::list("trains.names", "names of the trains to sell, instead of those with most segments"),
        Setting::integer("seats.first", 80, 0..=100_000, "seats in first class, per train"),
        Setting::integer("seats.second", 320, 0..=100_000, "seats in second class, per train"),
        Setting::integer(
            "price.first",
            1_800,
            1..=10_000_000,
            "price of a first-class seat, fen per segment",
        ),
        Setting::integer(
            "price.second",
            1_100,
            1..=10_000_000,
            "price of a second-class seat, fen per segment",
        ),
    ]
}

fn rules() -> Vec<Setting> {
    let config = Config::default();
    let (queue, rate) = (config.queue, config.rate_limit);
    vec![
        Setting::duration(
            "order.pay_within",
            config.pay_within,
            SECOND..=DAY,
            "time to pay, from the submission",
        ),
        Setting::duration(
            "order.place_within",
            config.place_within,
            SECOND..=DAY,
            "time to take stock and seats for a submission; longer than the services take for it",
        ),
        Setting::integer(
            "queue.cap",
            queue.waiting_max as i64,
            1..=10_000_000,
            "most that wait per train and day",
        ),
        Setting::share(
            "queue.share",
            queue.share_per_second,
            "part of what remains that leaves the queue per second",
        ),
        Setting::number(
            "queue.max_per_second",
            queue.leave_per_second_max,
            0.0..=1e6,
            "most that leave per second",
        ),
        Setting::duration(
            "queue.max_wait",
            queue.wait_max,
            SECOND..=DAY,
            "who would wait longer is offered standby",
        ),
        Setting::duration("queue.token_life", queue.token_life, SECOND..=DAY, "life of a queue token"),
        Setting::number(
            "rate_limit.per_second",
            rate.per_second,
            0.001..=RateLimit::MAX_PER_SECOND,
            "requests/s per account and device",
        ),
        Setting::integer(
            "rate_limit.burst",
            i64::from(rate.burst),
            1..=1_000_000,
            "requests at once after a pause",
        ),
        Setting::integer(
            "redis.shards",
            i64::from(config.shards.count()),
            1..=i64::from(Shards::MAX),
            "parts that trains, with all that belongs to them, are divided into",
        ),
        Setting::share(
            "ticketing.refusals",
            config.ticket_refusals,
            "paid orders that the railway refuses to ticket",
        ),
    ]
}

/// How persisted work is done again. In a small world of short deadlines these are short as well.
fn work() -> Vec<Setting> {
    let rules = WorkRules::default();
    vec![
        Setting::duration(
            "work.sweep_every",
            rules.sweep_every,
            MILLISECOND..=DAY,
            "how often each instance looks for due work in a list, in one shard after the other",
        ),
        Setting::duration(
            "work.lease",
            rules.lease,
            SECOND..=DAY,
            "after this, work that somebody took is due again for anybody; longer than doing it takes",
        ),
        Setting::duration(
            "work.retry_first",
            rules.retry_first,
            MILLISECOND..=DAY,
            "wait before the second try of a payment's work; each further wait is twice as long",
        ),
        Setting::duration(
            "work.watch_after",
            rules.watch_after,
            MILLISECOND..=DAY,
            "how long after its creation the bank is asked about a payment that it has sent no news of",
        ),
    ]
}

/// What things cost the processors of their hosts. Nothing unless asked for: then a host never saturates, and a sweep over
/// loads would find no knee.
fn processors() -> Vec<Setting> {
    vec![
        Setting::duration(
            "cpu.request",
            Duration::ZERO,
            Duration::ZERO..=SECOND,
            "time on a core that a service takes for each HTTP request that it answers; 0: none",
        ),
        Setting::duration(
            "cpu.command",
            Duration::ZERO,
            Duration::ZERO..=SECOND,
            "time that Redis takes, on its one core, for each command, also for those that a script calls; 0: none",
        ),
        Setting::integer(
            "cpu.cores",
            world::cpu::DEFAULT_CORES as i64,
            1..=1_024,
            "cores of each host of a service, which cpu.request is worked on",
        ),
    ]
}

/// Cores of each host of a service; `None` where its work costs nothing.
pub(super) fn cores(settings: &Settings) -> Option<usize> {
    let is_modelled = !settings.duration("cpu.request").is_zero();
    is_modelled.then(|| usize::try_from(settings.integer("cpu.cores")).unwrap_or(usize::MAX))
}

fn bank() -> Vec<Setting> {
    let share = |key, about| Setting::share(key, 0.0, about);
    let hour = Duration::from_secs(3_600);
    let latency = Duration::from_millis(120);
    let delay = Duration::from_millis(400);
    vec![
        Setting::duration(
            "bank.latency",
            latency,
            MILLISECOND..=hour,
            "median time that the bank takes to answer",
        ),
        share("bank.timeout_before", "requests that time out before they have any effect"),
        share("bank.timeout_after", "requests that time out although they have had their effect"),
        Setting::duration("bank.callback_delay", delay, MILLISECOND..=hour, "median delay of a callback"),
        share("bank.duplicate", "callbacks that are sent twice"),
        share("bank.reorder", "callbacks that are held back until a later one has gone out"),
        share("bank.lost", "callbacks that never arrive, however often they are sent"),
        share("bank.forged", "payments for which somebody sends a callback with a wrong signature"),
    ]
}

fn buyers() -> Vec<Setting> {
    let Profile {
        hotness,
        first_class,
        look_first,
        leave_queue,
        submit_twice,
        cancel,
        never_pay,
        pay_late,
        pay_twice,
        think,
        pay_after,
        follow,
        ..
    } = Profile::default();
    vec![
        Setting::number(
            "buyers.hotness",
            hotness,
            0.0..=1_000.0,
            "how unevenly trains are wanted: the n-th (from 0) 1 / (1 + n * hotness) times as often as the first",
        ),
        Setting::share("buyers.first_class", first_class, "buyers who want first class"),
        Setting::share("buyers.look_first", look_first, "buyers who look at what remains before they queue")
            .simplest(Value::Number(0.0)),
        Setting::share("buyers.leave_queue", leave_queue, "buyers who leave while they wait"),
        Setting::share("buyers.submit_twice", submit_twice, "buyers who submit again with the same key"),
        Setting::share("buyers.cancel", cancel, "buyers who cancel their order"),
        Setting::share("buyers.abandon", never_pay, "buyers who order and never pay"),
        Setting::share("buyers.pay_late", pay_late, "buyers who pay around the deadline, before or after it"),
        Setting::share("buyers.pay_twice", pay_twice, "buyers who pay again with the same key"),
        Setting::duration(
            "buyers.think",
            think,
            MILLISECOND..=DAY,
            "time that they need to decide, on average",
        ),
        Setting::duration(
            "buyers.pay_after",
            pay_after,
            MILLISECOND..=DAY,
            "time that they need to pay, on average",
        ),
        Setting::duration(
            "buyers.follow",
            follow,
            SECOND..=DAY,
            "how long after the deadline for paying they look what has become of their order",
        ),
    ]
}

/// How buyers behave.
pub(super) fn profile(settings: &Settings) -> Profile {
    Profile {
        hotness: settings.number("buyers.hotness"),
        first_class: settings.number("buyers.first_class"),
        look_first: settings.number("buyers.look_first"),
        leave_queue: settings.number("buyers.leave_queue"),
        submit_twice: settings.number("buyers.submit_twice"),
        cancel: settings.number("buyers.cancel"),
        never_pay: settings.number("buyers.abandon"),
        pay_late: settings.number("buyers.pay_late"),
        pay_twice: settings.number("buyers.pay_twice"),
        think: settings.duration("buyers.think"),
        pay_after: settings.duration("buyers.pay_after"),
        follow: settings.duration("buyers.follow"),
        ..Profile::default()
    }
}

/// Reads a GTFS feed.
///
/// # Errors
/// A sentence for the user, with the place in the feed.
pub(super) fn read_timetable(path: &Path) -> Result<Timetable, String> {
    let label = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| format!("timetable {label}: {error}"))?;
    Timetable::read(&bytes, &label).map_err(|error| error.to_string())
}

/// Which trains a scenario asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trains {
    /// A feed of one's own.
    pub(super) timetable: Option<PathBuf>,
    date: String,
    count: usize,
    names: Vec<String>,
}

impl Trains {
    pub(super) fn asked(settings: &Settings) -> Trains {
        Trains {
            timetable: settings.file("timetable").map(Path::to_owned),
            date: settings.text("date").to_owned(),
            count: usize::try_from(settings.integer("trains.count")).unwrap_or(usize::MAX),
            names: settings.list("trains.names").to_vec(),
        }
    }

    /// Chooses them from a timetable.
    ///
    /// # Errors
    /// A sentence for the user: nothing runs on that day, for example.
    pub(super) fn choose(&self, timetable: &Timetable) -> Result<Vec<TrainRun>, String> {
        timetable.select(&self.date, self.count, &self.names).map_err(|error| error.to_string())
    }
}

/// What is on sale, of these trains.
///
/// # Errors
/// A sentence for the user: there are no seats.
pub(super) fn sale(settings: &Settings, trains: &[TrainRun]) -> Result<Sale, String> {
    let classes = classes(settings);
    if classes.is_empty() {
        return Err("seats.first and seats.second are both 0: there is nothing to sell".to_owned());
    }
    let on_sale = |train: &TrainRun| RunOnSale { train: train.clone(), classes: classes.clone() };
    Ok(Sale::new(trains.iter().map(on_sale).collect()))
}

fn classes(settings: &Settings) -> Vec<ClassOnSale> {
    let of = |class, seats, price| {
        let seats = u32::try_from(settings.integer(seats)).unwrap_or(0);
        let price_per_segment_fen = u64::try_from(settings.integer(price)).unwrap_or(0);
        (seats > 0).then_some(ClassOnSale { class, seats, price_per_segment_fen })
    };
    let first = of(Class::First, "seats.first", "price.first");
    let second = of(Class::Second, "seats.second", "price.second");
    first.into_iter().chain(second).collect()
}

/// What the services are told.
pub(super) fn config(settings: &Settings, sale: Sale) -> Config {
    Config {
        pay_within: settings.duration("order.pay_within"),
        place_within: settings.duration("order.place_within"),
        queue: QueueRules {
            waiting_max: u64::try_from(settings.integer("queue.cap")).unwrap_or(u64::MAX),
            share_per_second: settings.number("queue.share"),
            leave_per_second_max: settings.number("queue.max_per_second"),
            wait_max: settings.duration("queue.max_wait"),
            token_life: settings.duration("queue.token_life"),
        },
        rate_limit: RateLimit {
            per_second: settings.number("rate_limit.per_second"),
            burst: u32::try_from(settings.integer("rate_limit.burst")).unwrap_or(u32::MAX),
        },
        durability: super::redis::durability(settings),
        shards: Shards::new(u16::try_from(settings.integer("redis.shards")).unwrap_or(Shards::MAX)),
        request_work: settings.duration("cpu.request"),
        ticket_refusals: settings.number("ticketing.refusals"),
        work: WorkRules {
            sweep_every: settings.duration("work.sweep_every"),
            lease: settings.duration("work.lease"),
            retry_first: settings.duration("work.retry_first"),
            watch_after: settings.duration("work.watch_after"),
            ..WorkRules::default()
        },
        ..Config::new(sale)
    }
}

/// How the bank behaves.
pub(super) fn bank_options(settings: &Settings, config: &Config) -> BankOptions {
    BankOptions {
        callback_secret: config.callback_secret.clone(),
        latency: Delay::around(settings.duration("bank.latency")),
        timeouts_before_effect: settings.number("bank.timeout_before"),
        timeouts_after_effect: settings.number("bank.timeout_after"),
        callback_delay: Delay::around(settings.duration("bank.callback_delay")),
        callback_duplicates: settings.number("bank.duplicate"),
        callback_reorders: settings.number("bank.reorder"),
        callback_losses: settings.number("bank.lost"),
        callback_forgeries: settings.number("bank.forged"),
        ..BankOptions::default()
    }
}
