//! What all services share: their access to Redis and to each other, persisted work, reading requests.
//!
//! - `link`: the way to Redis.
//! - `store`: scripts and commands to Redis.
//! - `peers`: calls to the instances of another service.
//! - `idempotency`: what an idempotency key was used for.
//! - `work`: sorted sets of work that must be done even if its owner crashes.
//! - `request`: reading what a request carries.
use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
};
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
        let router = router.fallback(request::no_such_page);
        wire::http::serve(listener, with_work(router, self.config.request_work)).await;
    }
}

/// The same, but each request takes a core for so long before it is handled: requests queue for the cores of the host. A
/// request that nobody waits for any more gives up its place.
fn with_work(router: Router, work: Duration) -> Router {
    if work.is_zero() {
        return router;
    }
    router.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        world::cpu::work(work).await;
        next.run(request).await
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use world::{host, sim, time};

    /// Four requests at once, 10 ms each, on two cores: two rounds.
    #[test]
    fn requests_queue_for_the_cores_of_their_host() {
        let work = Duration::from_millis(10);
        let outcome = sim::run(sim::Config::new(1), move || async move {
            let served = host::add("service-1", move || async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.expect("the port is free");
                let router = Router::new().route("/", get(async || "\"done\""));
                wire::http::serve(listener, with_work(router, work)).await;
            });
            served.set_cores(2);
            time::sleep(work).await;
            let started = time::Instant::now();
            let asking: Vec<_> = (0..4)
                .map(|_| {
                    world::task::spawn(async move {
                        let client = wire::http::Client::default();
                        let answer: Result<String, _> =
                            client.get_json("service-1:80", "/", Duration::from_secs(1)).await;
                        assert_eq!(answer.ok().as_deref(), Some("done"));
                    })
                })
                .collect();
            for asked in asking {
                asked.await.expect("an answer");
            }
            assert!((work * 2..work * 3).contains(&started.elapsed()), "{:?}", started.elapsed());
            assert_eq!(world::cpu::usage(served).busy, work * 4);
        });
        assert!(outcome.result.is_ok() && outcome.panics.is_empty(), "{:?}", outcome.panics);
    }
}
