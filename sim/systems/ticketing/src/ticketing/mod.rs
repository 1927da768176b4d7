//! The ticketing service: issues the tickets of paid orders, or compensates with refund and returned stock.
//!
//! - `issue`: both ways.
//! - `issue.lua`, `void.lua`: tickets.
use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::post};
use bytes::Bytes;

use crate::{
    api::AboutOrder,
    config::{Config, Service},
    keys,
    service::{Instance, Outcome, Peers, request, work::WorkList},
};

mod issue;

/// One instance of the ticketing service.
struct TicketingService {
    instance: Instance,
    order: Peers,
    inventory: Peers,
    seat: Peers,
    payment: Peers,
    work: WorkList,
}

/// What a ticketing host boots.
pub async fn run(config: Arc<Config>, _instance: usize) {
    let instance = Instance::new(config);
    let service = Arc::new(TicketingService {
        instance: instance.clone(),
        order: instance.peers(Service::Order),
        inventory: instance.peers(Service::Inventory),
        seat: instance.peers(Service::Seat),
        payment: instance.peers(Service::Payment),
        work: WorkList::new(&instance, keys::TICKETING_WORK),
    });
    service.work.drain(&service, TicketingService::work);
    let router = Router::new().route("/internal/issue", post(issue_now)).with_state(service);
    instance.serve(router).await;
}

impl TicketingService {
    fn config(&self) -> &Config {
        &self.instance.config
    }
}

/// The order service says that tickets are owed: begins at once, instead of when the list of work is looked at.
async fn issue_now(State(service): State<Arc<TicketingService>>, body: Bytes) -> Outcome<Json<()>> {
    let about: AboutOrder = request::body(&body)?;
    world::task::spawn(service.work(about.order));
    Ok(Json(()))
}
