//! Telling the merchant what happened: the outbox, which survives a crash, and the attempts to deliver from it.
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use world::time::Instant;

use super::{
    Options, Service,
    api::{Callback, State},
    ledger::Payment,
    signature,
};

/// The header with the signature of a callback.
const SIGNATURE: &str = "x-signature";

/// A wrong secret, for those who forge callbacks.
const FORGED_SECRET: &str = "not-the-secret";

/// The callbacks that are to be delivered.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    deliveries: BTreeMap<u64, Delivery>,
    next: u64,
}

/// A callback that is to be delivered.
#[derive(Debug, Clone)]
struct Delivery {
    bank_id: String,
    notify: Vec<String>,
    body: Bytes,
    signature: String,
    /// When the next attempt is due.
    due: Instant,
    /// Attempts made.
    attempts: u32,
    /// Attempts that get lost on the way, from the first.
    lost: u32,
    is_forged: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, delivery: Delivery) -> u64 {
        let mut pending = self.lock();
        let id = pending.next;
        pending.next += 1;
        pending.deliveries.insert(id, delivery);
        id
    }

    fn get(&self, id: u64) -> Option<Delivery> {
        self.lock().deliveries.get(&id).cloned()
    }

    fn remove(&self, id: u64) {
        self.lock().deliveries.remove(&id);
    }

    /// Notes a failed attempt. False if it was the last.
    fn retry(&self, id: u64, options: &Options) -> bool {
        let mut pending = self.lock();
        let Some(delivery) = pending.deliveries.get_mut(&id) else { return false };
        delivery.attempts += 1;
        if delivery.attempts >= options.callback_attempts_max {
            pending.deliveries.remove(&id);
            return false;
        }
        let wait = options.callback_retry.saturating_mul(2_u32.saturating_pow(delivery.attempts - 1));
        delivery.due = Instant::now() + wait;
        true
    }
}

impl Service {
    /// Tells of the newest version of a payment, with the misbehaviour that the options ask for.
    pub(super) fn notify(&self, payment: &Payment) {
        let Options { callback_duplicates, callback_reorders, callback_losses, .. } = self.shared.options;
        let version = payment.view.version;
        let due = Instant::now() + self.shared.options.callback_delay.draw();
        let lost = if world::rand::chance(callback_losses) {
            if world::rand::chance(0.5) { u32::MAX } else { world::rand::range(1..4) as u32 }
        } else {
            0
        };
        self.enqueue(payment, payment.callback(version), due, lost);
        if world::rand::chance(callback_duplicates) {
            self.enqueue(
                payment,
                payment.callback(version),
                due + self.shared.options.callback_delay.draw(),
                0,
            );
        }
        if world::rand::chance(callback_reorders) {
            let later = due + self.shared.options.callback_delay.draw();
            self.enqueue(payment, payment.callback(version - 1), later, 0);
        }
    }

    /// Somebody claims the capture of a payment that nobody has paid, in the share of payments that the options
    /// ask for.
    pub(super) fn forge(&self, payment: &Payment) {
        if !world::rand::chance(self.shared.options.callback_forgeries) {
            return;
        }
        let Some(callback) = payment.callback(1) else { return };
        let callback = Callback { version: 2, state: State::Captured, ..callback };
        let due = Instant::now() + self.shared.options.callback_delay.draw();
        self.start(delivery(payment, &callback, FORGED_SECRET, due, 0, true));
    }

    fn enqueue(&self, payment: &Payment, callback: Option<Callback>, due: Instant, lost: u32) {
        let Some(callback) = callback else { return };
        self.start(delivery(payment, &callback, &self.shared.options.callback_secret, due, lost, false));
    }

    fn start(&self, delivery: Delivery) {
        if !delivery.notify.is_empty() {
            let id = self.shared.outbox.add(delivery);
            world::task::spawn(self.clone().deliver(id));
        }
    }

    /// Resumes what the last boot has left in the outbox.
    pub(super) fn resume_callbacks(&self) {
        let ids: Vec<u64> = self.shared.outbox.lock().deliveries.keys().copied().collect();
        for id in ids {
            world::task::spawn(self.clone().deliver(id));
        }
    }

    /// Delivers a callback, with repetitions.
    async fn deliver(self, id: u64) {
        while let Some(delivery) = self.shared.outbox.get(id) {
            world::time::sleep(delivery.due.duration_since(Instant::now())).await;
            if delivery.is_forged {
                // A forgery is worth something only while it is not true, and nobody repeats it.
                let payment = self.shared.ledger.payment(&delivery.bank_id);
                if payment.is_some_and(|payment| payment.view.state == State::Created) {
                    self.attempt(&delivery).await;
                }
                self.shared.outbox.remove(id);
                return;
            }
            let is_lost = delivery.attempts < delivery.lost;
            if !is_lost && self.attempt(&delivery).await {
                self.shared.outbox.remove(id);
                return;
            }
            if !self.shared.outbox.retry(id, &self.shared.options) {
                return;
            }
        }
    }

    /// One attempt. True if the merchant has acknowledged it.
    async fn attempt(&self, delivery: &Delivery) -> bool {
        let turn = delivery.attempts as usize % delivery.notify.len().max(1);
        let Some(url) = delivery.notify.get(turn) else { return false };
        let (addr, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        let path = if path.is_empty() { "/" } else { path };
        let within = self.shared.options.callback_timeout;
        let Some(request) = request(path, delivery) else { return false };
        match self.client.send(addr, request, within).await {
            Ok(response) => response.status().is_success(),
            Err(_) => false,
        }
    }
}

fn delivery(
    payment: &Payment,
    callback: &Callback,
    secret: &str,
    due: Instant,
    lost: u32,
    is_forged: bool,
) -> Delivery {
    // Strings, numbers and a plain enum always have a JSON form.
    let body = serde_json::to_vec(callback).unwrap_or_default();
    Delivery {
        bank_id: payment.view.bank_id.clone(),
        notify: payment.notify.clone(),
        signature: signature(secret, &body),
        body: body.into(),
        due,
        attempts: 0,
        lost,
        is_forged,
    }
}

/// The request of a callback; `None` if the merchant's path is not valid in a URI.
fn request(path: &str, delivery: &Delivery) -> Option<Request<Bytes>> {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(SIGNATURE, &delivery.signature)
        .body(delivery.body.clone())
        .ok()
}
