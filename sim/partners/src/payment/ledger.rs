//! The bank's books: payments, their states, and an entry for every movement and every refused attempt.
//!
//! The rules of the bank are kept here and nowhere else: a payment is captured at most once, never after it was
//! closed, and refunds never exceed the capture.
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::api::{Callback, CreatePayment, CreateRefund, PaymentView, RefundView, State};

/// A payment in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// What is told about it.
    pub view: PaymentView,
    /// Who paid.
    pub payer: Option<String>,
    /// Where its callbacks go, "host:port/path".
    pub notify: Vec<String>,
    /// Refunds by `refund_ref`, in fen.
    pub refunds: BTreeMap<String, u64>,
    /// Its state at each version, from version 1.
    pub states: Vec<State>,
}

impl Payment {
    /// The callback that tells of a version; `None` if there was no such version.
    pub(super) fn callback(&self, version: u64) -> Option<Callback> {
        let index = usize::try_from(version.checked_sub(1)?).ok()?;
        let view = &self.view;
        Some(Callback {
            payment_id: view.bank_id.clone(),
            merchant_ref: view.merchant_ref.clone(),
            version,
            state: *self.states.get(index)?,
            amount_fen: view.amount_fen,
            currency: view.currency.clone(),
        })
    }

    fn move_to(&mut self, state: State) {
        self.view.state = state;
        self.states.push(state);
        self.view.version = self.states.len() as u64;
        let PaymentView { amount_fen, captured_fen, refunded_fen, .. } = self.view;
        assert!(refunded_fen <= captured_fen && captured_fen <= amount_fen, "the books are wrong: {self:?}");
    }
}

/// A line of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the start of the simulation.
    pub at: Duration,
    /// The payment.
    pub bank_id: String,
    /// The merchant's name for it.
    pub merchant_ref: String,
    /// What happened.
    pub kind: EntryKind,
    /// The amount moved, or asked for when it was refused, in fen.
    pub amount_fen: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A payment was created.
    Created,
    /// The buyer has paid it.
    Captured,
    /// The merchant gave it up.
    Closed,
    /// Money was given back.
    Refunded {
        /// The merchant's name for the refund.
        refund_ref: String,
    },
    /// The merchant asked for a refund that the books do not allow.
    RefundRefused {
        /// The merchant's name for the refund.
        refund_ref: String,
        /// Why not.
        refusal: Refusal,
    },
}

/// Why the bank does not do what it was asked for. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such payment.
    #[error("there is no such payment")]
    UnknownPayment,
    /// The same reference was used with other contents.
    #[error("the reference was used before with other contents")]
    ReferenceConflict,
    /// The amount is 0.
    #[error("an amount is more than 0")]
    InvalidAmount,
    /// The payment was given up by the merchant.
    #[error("the payment is closed")]
    Closed,
    /// Somebody has paid already.
    #[error("the payment is captured already")]
    AlreadyCaptured,
    /// Nobody has paid.
    #[error("the payment is not captured")]
    NotCaptured,
    /// More than is left of the capture.
    #[error("the refunds would exceed the capture")]
    RefundExceedsCapture,
}

/// What a request did: the payment now, and whether this request has changed it (a repetition has not).
pub(super) struct Done<V> {
    pub(super) view: V,
    pub(super) changed: Option<Payment>,
}

/// Called with each new entry and the payment after it.
pub type Observer = Box<dyn FnMut(&Entry, &Payment) + Send>;

/// The books. Clones are the same books.
#[derive(Clone, Default)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    observers: Arc<Mutex<Vec<Observer>>>,
}

#[derive(Default)]
struct Book {
    /// By bank id, which counts up.
    payments: BTreeMap<String, Payment>,
    /// Bank id by merchant reference.
    by_merchant_ref: BTreeMap<String, String>,
    /// Bank id by refund reference.
    by_refund_ref: BTreeMap<String, String>,
    entries: Vec<Entry>,
}

impl Ledger {
    /// Has `observer` called at each new entry with the payment after it, outside the lock of the books. It may
    /// read the books; it must not add observers.
    pub fn observe(&self, observer: Observer) {
        lock(&self.observers).push(observer);
    }

    /// Reads all payments by bank id, in the order of their creation. `read` must not use the ledger.
    pub fn with_payments<R>(&self, read: impl FnOnce(&BTreeMap<String, Payment>) -> R) -> R {
        read(&lock(&self.book).payments)
    }

    /// Reads all entries in their order. `read` must not use the ledger.
    pub fn with_entries<R>(&self, read: impl FnOnce(&[Entry]) -> R) -> R {
        read(&lock(&self.book).entries)
    }

    /// The payment of a merchant's reference.
    pub fn by_merchant_ref(&self, merchant_ref: &str) -> Option<Payment> {
        let book = lock(&self.book);
        book.payments.get(book.by_merchant_ref.get(merchant_ref)?).cloned()
    }

    /// The payment of a bank id.
    pub fn payment(&self, bank_id: &str) -> Option<Payment> {
        lock(&self.book).payments.get(bank_id).cloned()
    }

    pub(super) fn create(&self, request: CreatePayment) -> Result<Done<PaymentView>, Refusal> {
        let mut book = lock(&self.book);
        if let Some(known) =
            book.by_merchant_ref.get(&request.merchant_ref).and_then(|id| book.payments.get(id))
        {
            let same = known.view.amount_fen == request.amount_fen && known.view.currency == request.currency;
            return if same { Ok(unchanged(known)) } else { Err(Refusal::ReferenceConflict) };
        }
        if request.amount_fen == 0 {
            return Err(Refusal::InvalidAmount);
        }
        let view = PaymentView {
            bank_id: format!("bank-{:09}", book.payments.len() + 1),
            merchant_ref: request.merchant_ref,
            state: State::Created,
            version: 1,
            amount_fen: request.amount_fen,
            captured_fen: 0,
            refunded_fen: 0,
            currency: request.currency,
        };
        let payment = Payment {
            view,
            payer: None,
            notify: request.notify,
            refunds: BTreeMap::new(),
            states: vec![State::Created],
        };
        let PaymentView { bank_id, merchant_ref, .. } = &payment.view;
        book.by_merchant_ref.insert(merchant_ref.clone(), bank_id.clone());
        book.payments.insert(bank_id.clone(), payment.clone());
        Ok(self.changed(book, payment, EntryKind::Created, request.amount_fen))
    }

    pub(super) fn capture(&self, bank_id: &str, payer: &str) -> Result<Done<PaymentView>, Refusal> {
        let mut book = lock(&self.book);
        let payment = book.payments.get_mut(bank_id).ok_or(Refusal::UnknownPayment)?;
        match payment.view.state {
            State::Created => {}
            State::Closed => return Err(Refusal::Closed),
            // The same payer again: a repetition of an authorization whose answer was lost.
            _ if payment.payer.as_deref() == Some(payer) => return Ok(unchanged(payment)),
            _ => return Err(Refusal::AlreadyCaptured),
        }
        payment.payer = Some(payer.to_owned());
        payment.view.captured_fen = payment.view.amount_fen;
        payment.move_to(State::Captured);
        let payment = payment.clone();
        let amount_fen = payment.view.captured_fen;
        Ok(self.changed(book, payment, EntryKind::Captured, amount_fen))
    }

    pub(super) fn close(&self, bank_id: &str) -> Result<Done<PaymentView>, Refusal> {
        let mut book = lock(&self.book);
        let payment = book.payments.get_mut(bank_id).ok_or(Refusal::UnknownPayment)?;
        match payment.view.state {
            State::Created => {}
            State::Closed => return Ok(unchanged(payment)),
            _ => return Err(Refusal::AlreadyCaptured),
        }
        payment.move_to(State::Closed);
        let payment = payment.clone();
        let amount_fen = payment.view.amount_fen;
        Ok(self.changed(book, payment, EntryKind::Closed, amount_fen))
    }

    pub(super) fn refund(&self, request: &CreateRefund) -> Result<Done<RefundView>, Refusal> {
        let CreateRefund { refund_ref, bank_id, amount_fen } = request;
        let mut book = lock(&self.book);
        let used_for = book.by_refund_ref.get(refund_ref).cloned();
        let payment = book.payments.get_mut(bank_id).ok_or(Refusal::UnknownPayment)?;
        let refund_view =
            |view| RefundView { refund_ref: refund_ref.clone(), refund_fen: *amount_fen, payment: view };
        let view = &payment.view;
        let refusal = match used_for {
            Some(_) if payment.refunds.get(refund_ref) == Some(amount_fen) => {
                return Ok(Done { view: refund_view(view.clone()), changed: None });
            }
            Some(_) => Some(Refusal::ReferenceConflict),
            None if *amount_fen == 0 => Some(Refusal::InvalidAmount),
            None if view.captured_fen == 0 => Some(Refusal::NotCaptured),
            None if *amount_fen > view.captured_fen - view.refunded_fen => {
                Some(Refusal::RefundExceedsCapture)
            }
            None => None,
        };
        let refund_ref = refund_ref.clone();
        if let Some(refusal) = refusal {
            let payment = payment.clone();
            self.changed(book, payment, EntryKind::RefundRefused { refund_ref, refusal }, *amount_fen);
            return Err(refusal);
        }
        payment.refunds.insert(refund_ref.clone(), *amount_fen);
        payment.view.refunded_fen += amount_fen;
        let is_all = payment.view.refunded_fen == payment.view.captured_fen;
        payment.move_to(if is_all { State::Refunded } else { State::PartlyRefunded });
        let payment = payment.clone();
        book.by_refund_ref.insert(refund_ref.clone(), bank_id.clone());
        let done = self.changed(book, payment, EntryKind::Refunded { refund_ref }, *amount_fen);
        Ok(Done { view: refund_view(done.view), changed: done.changed })
    }

    /// Writes the entry of a change and shows it to the observers.
    fn changed(
        &self,
        mut book: MutexGuard<'_, Book>,
        payment: Payment,
        kind: EntryKind,
        amount_fen: u64,
    ) -> Done<PaymentView> {
        let entry = Entry {
            at: world::sim::elapsed(),
            bank_id: payment.view.bank_id.clone(),
            merchant_ref: payment.view.merchant_ref.clone(),
            kind,
            amount_fen,
        };
        book.entries.push(entry.clone());
        drop(book);
        for observer in lock(&self.observers).iter_mut() {
            observer(&entry, &payment);
        }
        Done { view: payment.view.clone(), changed: Some(payment) }
    }
}

fn unchanged(payment: &Payment) -> Done<PaymentView> {
    Done { view: payment.view.clone(), changed: None }
}

/// Locks even after a panic elsewhere: the books explain it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("payments", &lock(&self.book).payments.len()).finish_non_exhaustive()
    }
}
