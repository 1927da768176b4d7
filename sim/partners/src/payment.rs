//! A payment gateway as merchants meet it: HTTP/JSON requests, signed callbacks, timeouts, repetitions, forgeries.
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /v1/payments` | creates a payment, idempotent by `merchant_ref` |
//! | `GET /v1/payments/{bank_id}`, `GET /v1/payments?merchant_ref=` | where a payment stands |
//! | `POST /v1/payments/{bank_id}/pay` | the buyer authorizes it: the money is captured |
//! | `POST /v1/payments/{bank_id}/close` | the merchant gives it up: no capture afterwards |
//! | `POST /v1/refunds` | gives money back, idempotent by `refund_ref`, never more than was captured |
//!
//! Every change of a payment counts its `version` up (1 is its creation) and is told to the merchant by a
//! callback: a POST of [`api::Callback`] to one of the payment's `notify` addresses, with the header `x-signature`
//! = lower case hex of HMAC-SHA256(secret, body), repeated until it is answered with 2xx.
//!
//! - [`options`]: how well it behaves.
//! - [`ledger`]: the books, where its rules are kept. They survive the bank's crash and are what a rehearsal
//!   checks the merchant's money against.
//! - [`api`]: the bodies of requests, answers and callbacks.
//! - `http` answers requests, `callbacks` delivers callbacks.
pub mod api;
mod callbacks;
mod http;
pub mod ledger;
pub mod options;

pub use ledger::Ledger;
pub use options::{Delay, Options};

use std::sync::Arc;

use callbacks::Outbox;
use world::net::TcpListener;

/// A bank. Clones are the same bank; what it knows survives the crash of the host that runs it.
#[derive(Debug, Clone)]
pub struct Bank {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    ledger: Ledger,
    outbox: Outbox,
}

impl Bank {
    /// A bank without payments.
    pub fn new(options: Options) -> Bank {
        Bank { shared: Arc::new(Shared { options, ledger: Ledger::default(), outbox: Outbox::default() }) }
    }

    /// Its books.
    pub fn ledger(&self) -> Ledger {
        self.shared.ledger.clone()
    }

    /// Serves on an address of the current host ("0.0.0.0:80") for ever, and resumes the callbacks that a crash
    /// has interrupted. What a host boots.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn run(&self, addr: &str) -> std::io::Result<()> {
        let listener = TcpListener::bind(addr).await?;
        // A client of its own for each boot: its connections belong to the processes of this boot.
        let service = Service { shared: Arc::clone(&self.shared), client: wire::http::Client::default() };
        service.resume_callbacks();
        wire::http::serve(listener, http::router(service)).await;
        Ok(())
    }
}

/// The bank's process: what lives from a boot to a crash.
#[derive(Debug, Clone)]
struct Service {
    shared: Arc<Shared>,
    client: wire::http::Client,
}

/// The signature of a callback: lower case hex of HMAC-SHA256(secret, body).
pub fn signature(secret: &str, body: &[u8]) -> String {
    use hmac::{Hmac, Mac};
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
