//! The way to Redis, whether that is one server or a cluster.
use redis::{Cmd, Pipeline, RedisFuture, Value, aio::ConnectionLike};
use wire::redis::{
    Client, Options,
    cluster::{self, ClusterClient},
};

use crate::config::{Config, RedisAddress};

/// Connections of each instance to each server; concurrent commands share them by pipelining.
const CONNECTIONS: usize = 1;

/// A client of the Redis of a configuration. Clones share its connections.
#[derive(Debug, Clone)]
pub enum Link {
    /// Of one server.
    Server(Client),
    /// Of a cluster.
    Cluster(ClusterClient),
}

impl Link {
    /// Nothing is connected yet.
    pub fn new(config: &Config) -> Link {
        let options = Options {
            connect_timeout: config.timeouts.redis_connect,
            response_timeout: config.timeouts.redis,
            connections: CONNECTIONS,
            durability: config.durability.clone(),
        };
        match &config.topology.redis {
            RedisAddress::Server(address) => Link::Server(Client::new(address, options)),
            RedisAddress::Cluster(nodes) => {
                // Whoever asks a service waits no longer than this anyway.
                let deadline = config.timeouts.redis;
                let options = cluster::Options { node: options, deadline, ..cluster::Options::default() };
                Link::Cluster(ClusterClient::new(nodes.clone(), options))
            }
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Link::Server(client) => client.req_packed_command(cmd),
            Link::Cluster(client) => client.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Link::Server(client) => client.req_packed_commands(pipeline, offset, count),
            Link::Cluster(client) => client.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}
