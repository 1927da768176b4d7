//! Paying an order: its one payment, made here and at the bank.
use crate::{
    api::{OrderRecord, PaymentView, code},
    domain::{CURRENCY, OrderState, PaymentState},
    ids::{Id, OrderId, PaymentId},
    keys,
    records::Payment,
    service::{
        ApiError, Outcome,
        idempotency::Idempotent,
        request, script,
        store::{millis, unexpected},
    },
};

use super::PaymentService;

script!(CREATE, "create.lua");

/// Outcome of a request whose payment the buyer was given, or refused: whatever becomes of the payment, the same key
/// gets the same answer.
const GIVEN: &str = "given";
const TOO_LATE: &str = "too_late";

/// The payment of an order, made at the bank as well.
struct Made {
    bank_id: String,
    state: PaymentState,
}

impl PaymentService {
    /// Makes the payment of an order, or finds it.
    pub(super) async fn create(&self, account: &str, key: &str, order: OrderId) -> Outcome<PaymentView> {
        let path = format!("/internal/orders/{order}");
        let record: OrderRecord = self.order.get(&path, self.config().timeouts.internal).await?;
        if record.account != account || matches!(record.state, OrderState::Placing | OrderState::Rejected) {
            return Err(request::not_found("there is no such order"));
        }
        let request = Idempotent { account, key, digest: format!("pay {order}") };
        let made = match request.bind(&self.instance, order).await?.outcome.as_deref() {
            Some(GIVEN) => None,
            Some(_) => return Err(too_late()),
            None => {
                let made = self.make(&record).await?;
                let outcome = if made.is_some() { GIVEN } else { TOO_LATE };
                if request.conclude(&self.instance, order, outcome).await? != GIVEN {
                    return Err(too_late());
                }
                made
            }
        };
        let payment = order.payment();
        let made = match made {
            Some(made) => made,
            None => self.made(payment).await?,
        };
        Ok(self.view(payment, made, record.amount_fen))
    }

    /// Makes the payment of an order for a key that has no outcome yet; `None` when it cannot be paid (any more).
    async fn make(&self, order: &OrderRecord) -> Outcome<Option<Made>> {
        match self.open(order).await? {
            Some((state, bank_id)) if state == PaymentState::Created && !bank_id.is_empty() => {
                Ok(Some(Made { bank_id, state }))
            }
            // From here on there is a payment that a repetition would go on with: nothing is certain.
            Some((PaymentState::Created, _)) => {
                let made = self.make_at_bank(order.order.payment(), order.amount_fen).await;
                made.map_err(|error| ApiError::unknown(error.message))
            }
            _ => Ok(None),
        }
    }

    /// Makes the record of a payment, or finds it: its state and the bank's id, which may be empty. `None` when there is
    /// none and none may be made.
    async fn open(&self, order: &OrderRecord) -> Outcome<Option<(PaymentState, String)>> {
        let (config, payment) = (self.config(), order.order.payment());
        let mut script = CREATE.prepare_invoke();
        script.key(keys::payment(payment)).key(keys::work(payment.shard(), keys::PAYMENT_WATCH));
        script.arg(payment.to_string()).arg(order.order.to_string()).arg(&order.account);
        script.arg(order.amount_fen).arg(millis(config.work.watch_after));
        script.arg(u8::from(order.state == OrderState::WaitPay));
        let reply: Vec<String> = self.instance.store.run(&script).await?;
        match reply.as_slice() {
            [state, bank_id] => {
                let state = state.parse().map_err(|_| unexpected("create.lua", &reply))?;
                Ok(Some((state, bank_id.clone())))
            }
            _ => Ok(None),
        }
    }

    async fn make_at_bank(&self, payment: PaymentId, amount_fen: u64) -> Outcome<Option<Made>> {
        let at_bank = self.bank.create(payment, amount_fen).await?;
        let state = self.take_in(payment, &at_bank).await?.state;
        // The order may have ended while the bank was asked: then there is nothing to pay any more.
        let can_be_paid = matches!(state, PaymentState::Created | PaymentState::Captured);
        Ok(can_be_paid.then_some(Made { bank_id: at_bank.bank_id, state }))
    }

    /// The payment that a buyer was given before.
    async fn made(&self, payment: PaymentId) -> Outcome<Made> {
        let record =
            self.instance.store.record(keys::payment(payment), |fields| Payment::parse(fields)).await?;
        let made = record.and_then(|record| Some(Made { bank_id: record.bank_id?, state: record.state }));
        made.ok_or_else(|| unexpected("the payment", "it was given to its buyer and is gone"))
    }

    fn view(&self, payment: PaymentId, made: Made, amount_fen: u64) -> PaymentView {
        let Made { bank_id, state } = made;
        let pay_url = format!("{}/v1/payments/{bank_id}/pay", self.config().topology.bank);
        let (payment_id, currency) = (payment.to_string(), CURRENCY.to_owned());
        PaymentView { payment_id, bank_id, pay_url, state, amount_fen, currency }
    }
}

fn too_late() -> ApiError {
    request::conflict(code::TOO_LATE, "the order cannot be paid (any more)")
}
