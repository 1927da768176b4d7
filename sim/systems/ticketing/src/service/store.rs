//! Scripts and commands to Redis, and what their failures say about their effect.
use std::{collections::BTreeMap, time::Duration};

use redis::{Cmd, FromRedisValue, RedisError, Script, ScriptInvocation, ToRedisArgs};
use wire::redis::was_not_sent;

use super::{ApiError, Link, Outcome};
use crate::{config::Config, records::RecordError};

/// Declares the Lua script in the file of this name, next to the file that declares it.
macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: std::sync::LazyLock<redis::Script> =
            std::sync::LazyLock::new(|| $crate::service::store::new_script(include_str!($file)));
    };
}
pub(crate) use script;

/// A script with this text.
pub(crate) fn new_script(text: &str) -> Script {
    // Tests play with scripts that look after themselves.
    #[cfg(test)]
    let text = &super::testing::guarded(text);
    Script::new(text)
}

/// Codes of the errors with which Redis refuses a command before anything of it is done, or a script at the first write
/// that it tries: the cluster has lost the slot, or the node cannot write (any more, or yet).
const REFUSALS: &[&str] = &["CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN"];

/// Redis as the services use it. Everything that one command or script touches is in one slot of a Redis Cluster, where
/// there [are slots](Store::has_slots), and a script touches only the keys that it declares.
#[derive(Clone)]
pub(crate) struct Store {
    link: Link,
    has_slots: bool,
}

impl Store {
    /// Redis at the address of the configuration; connects when first used.
    pub(crate) fn new(config: &Config) -> Store {
        let link = Link::new(config);
        // Unit tests see to it that everything works in a cluster, unless they say otherwise.
        Store { has_slots: cfg!(test) || matches!(link, Link::Cluster(_)), link }
    }

    /// Is Redis a cluster, which does in one step only what is in one slot?
    pub(crate) fn has_slots(&self) -> bool {
        self.has_slots
    }

    #[cfg(test)]
    pub(crate) fn without_slots(self) -> Store {
        Store { has_slots: false, ..self }
    }

    #[cfg(not(test))]
    fn connection(&self) -> Link {
        self.link.clone()
    }

    #[cfg(test)]
    fn connection(&self) -> super::testing::Checked {
        super::testing::Checked { link: self.link.clone(), has_slots: self.has_slots }
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Outcome<T> {
        script.invoke_async(&mut self.connection()).await.map_err(|error| failure(&error))
    }

    /// Runs a command.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Outcome<T> {
        command.query_async(&mut self.connection()).await.map_err(|error| failure(&error))
    }

    /// Reads a record with one of the `parse` functions of [`crate::records`]; `None` when there is none.
    pub(crate) async fn record<R>(
        &self,
        key: impl ToRedisArgs,
        parse: impl for<'a> FnOnce(Vec<(&'a [u8], &'a [u8])>) -> Result<R, RecordError>,
    ) -> Outcome<Option<R>> {
        let fields: BTreeMap<Vec<u8>, Vec<u8>> = self.command(redis::cmd("HGETALL").arg(key)).await?;
        match parse(fields.iter().map(|(field, value)| (field.as_slice(), value.as_slice())).collect()) {
            Ok(record) => Ok(Some(record)),
            Err(RecordError::Absent) => Ok(None),
            Err(error) => Err(ApiError::unknown(format!("a stored record is damaged: {error}"))),
        }
    }
}

/// What a failed command means for the caller of the service: the only place that decides on it. Nothing happened when
/// the command was not sent or was refused; after everything else, such as a lost reply or an answer that may not
/// survive the master, nobody knows.
fn failure(error: &RedisError) -> ApiError {
    if was_not_sent(error) {
        ApiError::nothing_happened(format!("Redis cannot be reached: {error}"))
    } else if error.code().is_some_and(|code| REFUSALS.contains(&code)) {
        ApiError::nothing_happened(format!("Redis refuses: {error}"))
    } else {
        ApiError::unknown(format!("Redis: {error}"))
    }
}

/// A reply that the script of this name does not make: the script and its reader have grown apart.
pub(crate) fn unexpected(script: &str, reply: impl std::fmt::Debug) -> ApiError {
    ApiError::unknown(format!("unexpected reply of {script}: {reply:?}"))
}

/// A duration as a number of ms for a script.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::service::testing::{config, on_sale};

    #[test]
    fn a_refusal_promises_that_nothing_happened() {
        on_sale(config(1), |instance| async move {
            let answers = [
                ("CLUSTERDOWN Hash slot not served", true),
                ("NOREPLICAS Not enough good replicas to write.", true),
                ("ERR something went wrong", false),
            ];
            for (answer, nothing_happened) in answers {
                let script = format!("return redis.error_reply('{answer}')");
                let command = redis::cmd("EVAL").arg(script).arg(0).take();
                let error = instance.store.command::<()>(&command).await.expect_err("refused");
                assert_eq!(error.promises_no_effect(), nothing_happened, "{error}");
            }
        });
    }

    /// Runs a script of a test with these keys.
    fn run_script(text: &'static str, keys: [&'static str; 2]) {
        on_sale(config(1), move |instance| async move {
            let script = super::new_script(text);
            let _ = instance.store.run::<()>(&script.key(&keys)).await;
        });
    }

    #[test]
    #[should_panic(expected = "undeclared key")]
    fn tests_notice_a_script_that_touches_what_it_does_not_declare() {
        run_script("redis.call('SET', KEYS[1] .. 'x', 1)", ["{a}1", "{a}2"]);
    }

    #[test]
    #[should_panic(expected = "keys in different slots")]
    fn tests_notice_a_script_with_keys_in_different_slots() {
        run_script("redis.call('SET', KEYS[1], 1)", ["{a}1", "{b}2"]);
    }
}
