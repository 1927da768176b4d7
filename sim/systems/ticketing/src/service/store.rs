//! Scripts and commands to Redis, and what their failures say about their effect.
use std::{collections::BTreeMap, time::Duration};

use redis::{Cmd, FromRedisValue, RedisError, ScriptInvocation, ToRedisArgs};
use wire::redis::{Client, Options, was_not_sent};

use super::{ApiError, Outcome};
use crate::{config::Config, records::RecordError};

/// Connections of each instance to Redis; concurrent commands share them by pipelining.
const CONNECTIONS: usize = 2;

/// Declares the Lua script in the file of this name, next to the file that declares it.
macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: std::sync::LazyLock<redis::Script> =
            std::sync::LazyLock::new(|| redis::Script::new(include_str!($file)));
    };
}
pub(crate) use script;

/// Redis as the services use it.
#[derive(Clone)]
pub(crate) struct Store {
    client: Client,
}

impl Store {
    /// Redis at the address of the configuration; connects when first used.
    pub(crate) fn new(config: &Config) -> Store {
        let options = Options {
            connect_timeout: config.timeouts.redis_connect,
            response_timeout: config.timeouts.redis,
            connections: CONNECTIONS,
        };
        Store { client: Client::new(config.topology.redis.clone(), options) }
    }

    /// Runs a script.
    pub(crate) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Outcome<T> {
        script.invoke_async(&mut self.client.connection()).await.map_err(|error| failure(&error))
    }

    /// Runs a command.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Outcome<T> {
        command.query_async(&mut self.client.connection()).await.map_err(|error| failure(&error))
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

/// What a failed command means for the caller of the service.
fn failure(error: &RedisError) -> ApiError {
    if was_not_sent(error) {
        ApiError::nothing_happened(format!("Redis cannot be reached: {error}"))
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
