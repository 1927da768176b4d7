//! What is swept: loads, and values of settings, as `--sweep` says them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use scenarios::{Arrivals, Rate, Scenario};

/// The levels of `FROM..TO`.
const LEVELS: usize = 8;
/// More take longer than anybody waits.
const LEVELS_MAX: usize = 100;
/// The word that means the arrival rates, and no setting.
const LOAD: &str = "load";
/// Significant digits of a factor: few enough to be typed again.
const FACTOR_DIGITS: usize = 4;

/// One `--sweep`.
#[derive(Debug, Clone, PartialEq)]
pub enum Sweep {
    /// Loads, in the order in which they are played.
    Load(Vec<Load>),
    /// A setting of the system, and the values that it is given.
    Setting(String, Vec<String>),
}

/// How many customers come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// This many times those of the scenario: `1.5x`.
    Factor(f64),
    /// So many per second, over all journeys and in the mean over the time of the load; the scenario says how they are
    /// distributed over journeys and time.
    PerSecond(f64),
}

impl Load {
    fn amount(self) -> f64 {
        match self {
            Load::Factor(amount) | Load::PerSecond(amount) => amount,
        }
    }

    fn with(self, amount: f64) -> Load {
        match self {
            Load::Factor(_) => Load::Factor(amount),
            Load::PerSecond(_) => Load::PerSecond(amount),
        }
    }

    /// What the rates of a scenario are to be multiplied by, rounded to four digits.
    ///
    /// # Errors
    /// A sentence: nobody comes, or more than a scenario may ask for.
    pub fn factor(self, scenario: &Scenario) -> Result<f64, String> {
        let customers = customers_per_s(scenario);
        let factor = match self {
            Load::Factor(factor) => factor,
            Load::PerSecond(_) if customers <= 0.0 => {
                return Err("no customer comes by the scenario".to_owned());
            }
            Load::PerSecond(per_second) => per_second / customers,
        };
        Ok(rounded(factor))
    }
}

/// To four significant digits.
fn rounded(amount: f64) -> f64 {
    format!("{amount:.*e}", FACTOR_DIGITS - 1).parse().unwrap_or(amount)
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Factor(amount) => write!(f, "{amount}x"),
            Load::PerSecond(amount) => write!(f, "{amount}"),
        }
    }
}

/// As `--sweep` says it.
impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sweep::Load(loads) => {
                let loads: Vec<String> = loads.iter().map(Load::to_string).collect();
                write!(f, "{LOAD}={}", loads.join(","))
            }
            Sweep::Setting(key, values) => write!(f, "{key}={}", values.join(",")),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Load, String> {
        let (number, load): (&str, fn(f64) -> Load) = match text.trim().strip_suffix('x') {
            Some(number) => (number, Load::Factor),
            None => (text.trim(), Load::PerSecond),
        };
        match number.parse::<f64>() {
            Ok(amount) if amount.is_finite() && amount > 0.0 => Ok(load(amount)),
            Ok(_) => Err(format!("{text:?}: a load is above 0")),
            Err(_) => Err(format!(
                "{text:?}: expected a load such as 1.5x (times the scenario's) or 200 (customers/s)"
            )),
        }
    }
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Sweep, String> {
        let expected = "expected load=FROM..TO[/LEVELS], load=A,B,… or SETTING=A,B,…";
        let (key, values) = text.split_once('=').ok_or(expected)?;
        let (key, values) = (key.trim(), values.trim());
        if key.is_empty() || values.is_empty() {
            return Err(expected.to_owned());
        }
        if key != LOAD {
            let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
            if values.iter().any(String::is_empty) {
                return Err(format!("{key}: a value is missing between two commas"));
            }
            return Ok(Sweep::Setting(key.to_owned(), values));
        }
        let loads = match values.split_once("..") {
            Some((from, to)) => range(from, to)?,
            None => values.split(',').map(str::parse).collect::<Result<_, _>>()?,
        };
        let is_factor = |load: &Load| matches!(load, Load::Factor(_));
        if loads.iter().any(is_factor) && !loads.iter().all(is_factor) {
            return Err("loads are all with x (times the scenario's) or all without (customers/s)".to_owned());
        }
        Ok(Sweep::Load(loads))
    }
}

/// Levels from one load to another, each as many times the one before.
fn range(from: &str, to: &str) -> Result<Vec<Load>, String> {
    let (to, count) = match to.split_once('/') {
        None => (to, LEVELS),
        Some((to, count)) => {
            let count = count.trim().parse().ok().filter(|count| (2..=LEVELS_MAX).contains(count));
            (to, count.ok_or(format!("expected 2 to {LEVELS_MAX} levels after the /"))?)
        }
    };
    let (from, to): (Load, Load) = (from.parse()?, to.parse()?);
    if std::mem::discriminant(&from) != std::mem::discriminant(&to) {
        return Err("both ends are with x (times the scenario's) or both without (customers/s)".to_owned());
    }
    if from.amount() >= to.amount() {
        return Err("the first load must be below the last".to_owned());
    }
    let ratio = to.amount() / from.amount();
    let level =
        |index: usize| from.with(rounded(from.amount() * ratio.powf(index as f64 / (count - 1) as f64)));
    Ok((0..count).map(level).collect())
}

/// Customers per second of a scenario: the mean over the time of its load.
pub(super) fn customers_per_s(scenario: &Scenario) -> f64 {
    let customers: f64 =
        scenario.load.values().map(|journey| journey.arrivals.count(scenario.duration)).sum();
    customers / scenario.duration.as_secs_f64()
}

/// The scenario with its arrival rates multiplied.
///
/// # Errors
/// A sentence: its customers come one by one, or too many would come.
pub(super) fn scaled(scenario: &Scenario, factor: f64) -> Result<Scenario, String> {
    let mut scenario = scenario.clone();
    for (name, journey) in &mut scenario.load {
        let Arrivals::Rate(rate) = &journey.arrivals else {
            return Err(format!("the customers of {name:?} come one by one: that is no load to be scaled"));
        };
        let rate = rate.scaled(factor);
        if rate.peak() > Rate::MAX_PER_SECOND {
            let most = Rate::MAX_PER_SECOND;
            return Err(format!(
                "{factor}x: {name:?} would come {} times a second, at most {most} can",
                rate.peak()
            ));
        }
        journey.arrivals = Arrivals::Rate(rate);
    }
    Ok(scenario)
}

/// What is left out at the beginning of a load unless told otherwise: a third of it.
pub(super) fn warm_up(asked: Option<Duration>, load: Duration) -> Result<Duration, String> {
    let warm_up = asked.unwrap_or(load / 3);
    if warm_up < load {
        return Ok(warm_up);
    }
    let (warm_up, load) = (warm_up.as_secs_f64(), load.as_secs_f64());
    Err(format!("--warm-up {warm_up} s leaves nothing of a load of {load} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read() {
        let factors = |text: &str| -> Vec<f64> {
            match text.parse() {
                Ok(Sweep::Load(loads)) => {
                    loads.iter().map(|load| (load.amount() * 1e3).round() / 1e3).collect()
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(factors("load=0.25x..4x/5"), [0.25, 0.5, 1.0, 2.0, 4.0]);
        assert_eq!(factors("load=1x,3x"), [1.0, 3.0]);
        assert_eq!(factors("load=100..5000").len(), LEVELS);
        assert_eq!("load=200".parse(), Ok(Sweep::Load(vec![Load::PerSecond(200.0)])));
        let values = ["1", "2"].map(str::to_owned).to_vec();
        assert_eq!("cpu.cores=1, 2".parse(), Ok(Sweep::Setting("cpu.cores".to_owned(), values)));
    }

    #[test]
    fn a_sweep_is_written_as_it_is_read() {
        for text in ["load=0.25x..4x/7", "load=10..333", "load=1x", "cpu.cores=1,2"] {
            let sweep: Sweep = text.parse().expect(text);
            assert_eq!(sweep.to_string().parse(), Ok(sweep), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_levels_is_said() {
        for (text, what) in [
            ("load", "expected load=FROM..TO"),
            ("load=", "expected load=FROM..TO"),
            ("=1", "expected load=FROM..TO"),
            ("load=1x..4", "both ends"),
            ("load=1x,4", "all with x"),
            ("load=4x..1x", "below the last"),
            ("load=0x..1x", "above 0"),
            ("load=-1,2", "above 0"),
            ("load=1x..2x/1", "2 to 100 levels"),
            ("load=1x..2x/many", "2 to 100 levels"),
            ("load=infx", "above 0"),
            ("load=1y..2y", "expected a load such as"),
            ("cpu.cores=1,,2", "missing between two commas"),
        ] {
            let error = text.parse::<Sweep>().expect_err(text);
            assert!(error.contains(what), "{text}: {error}");
        }
        assert!(warm_up(Some(Duration::from_secs(9)), Duration::from_secs(9)).is_err());
        assert_eq!(warm_up(None, Duration::from_secs(9)), Ok(Duration::from_secs(3)));
    }
}
