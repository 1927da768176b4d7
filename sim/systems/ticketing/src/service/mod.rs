//! What all services share: their access to Redis and to each other, persisted work, reading requests.
//!
//! - `link`: the way to Redis.
//! - `store`: scripts and commands to Redis.
//! - `peers`: calls to the instances of another service.
//! - `idempotency`: what an idempotency key was used for.
//! - `work`: sorted sets of work that must be done even if its owner crashes.
//! - `request`: reading what a request carries.
use std::sync::Arc;

use axum::Router;
use world::net::TcpListener;

use crate::config::{Config, SERVICE_PORT, Service};

pub(crate) mod idempotency;
mod link;
pub(crate) mod peers;
pub(crate) mod request;
pub(crate) mod store;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod work;

pub use link::Link;
pub(crate) use peers::Peers;
pub(crate) use store::{Store, script};
pub(crate) use wire::http::ApiError;

/// The result of a step of a service: what went wrong is said as the caller will hear it.
pub(crate) type Outcome<T> = Result<T, ApiError>;

/// One running instance: what every service is made with.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    http: wire::http::Client,
}

impl Instance {
    /// An instance on the current host.
    pub(crate) fn new(config: Arc<Config>) -> Instance {
        let store = Store::new(&config);
        Instance { config, store, http: wire::http::Client::default() }
    }

    /// The instances of another service.
    pub(crate) fn peers(&self, service: Service) -> Peers {
        Peers::new(self.http.clone(), self.config.topology.addresses(service))
    }

    /// A partner at one address.
    pub(crate) fn partner(&self, address: &str) -> Peers {
        Peers::new(self.http.clone(), vec![address.to_owned()])
    }

    /// Answers requests for as long as the host lives.
    ///
    /// # Panics
    /// If the port is taken: a host that has just booted has nobody else on it.
    pub(crate) async fn serve(&self, router: Router) {
        let listener = TcpListener::bind(&format!("0.0.0.0:{SERVICE_PORT}")).await;
        let listener = listener.expect("the port of a freshly booted host is free");
        wire::http::serve(listener, router.fallback(request::no_such_page)).await;
    }
}
