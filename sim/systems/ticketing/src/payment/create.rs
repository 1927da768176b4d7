//! Paying an order: its one payment, made here and at the bank.
use http::StatusCode;

use crate::{
    api::{OrderRecord, PaymentView, code},
    domain::{CURRENCY, OrderState, PaymentState},
    keys,
    service::{
        ApiError, Outcome, request, script,
        store::{millis, unexpected},
    },
};

use super::PaymentService;

script!(CREATE, "create.lua");

/// The id of the one payment of an order.
pub(super) fn payment_id(order: &str) -> String {
    format!("p{order}")
}

/// What `create.lua` has made or found.
struct Opened {
    payment: String,
    state: PaymentState,
    bank_id: Option<String>,
    /// The idempotency key was used for this payment before: whatever became of it, the answer is the same.
    is_repeated: bool,
}

impl PaymentService {
    /// Makes the payment of an order, or finds it.
    pub(super) async fn create(&self, account: &str, key: &str, order: &str) -> Outcome<PaymentView> {
        let path = format!("/internal/orders/{order}");
        let record: OrderRecord = self.order.get(&path, self.config().timeouts.internal).await?;
        if record.account != account || matches!(record.state, OrderState::Placing | OrderState::Rejected) {
            return Err(request::not_found("there is no such order"));
        }
        let opened = self.open(account, key, &record).await?;
        match (opened.state, opened.bank_id) {
            (state, Some(bank_id)) if state == PaymentState::Created || opened.is_repeated => {
                Ok(self.view(opened.payment, bank_id, state, record.amount_fen))
            }
            (PaymentState::Created, None) => {
                // From here on there is a payment that a repetition would go on with: nothing is certain.
                self.create_at_bank(opened.payment, record.amount_fen).await.map_err(in_doubt)
            }
            _ => Err(too_late()),
        }
    }

    async fn open(&self, account: &str, key: &str, order: &OrderRecord) -> Outcome<Opened> {
        let config = self.config();
        let payment = payment_id(&order.order);
        let mut script = CREATE.prepare_invoke();
        script.key(keys::payment(&payment)).key(keys::idempotency(account, key)).key(keys::PAYMENT_WATCH);
        script.arg(&payment).arg(&order.order).arg(account).arg(order.amount_fen);
        script.arg(format!("pay {}", order.order)).arg(millis(config.idempotency_kept));
        script.arg(millis(config.work.watch_after)).arg(u8::from(order.state == OrderState::WaitPay));
        let reply: Vec<String> = self.instance.store.run(&script).await?;
        match reply.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["payment", state, bank_id, is_repeated] => Ok(Opened {
                payment,
                state: state.parse().map_err(|_| unexpected("create.lua", &reply))?,
                bank_id: (!bank_id.is_empty()).then(|| (*bank_id).to_owned()),
                is_repeated: *is_repeated == "1",
            }),
            ["not_payable"] => Err(too_late()),
            ["conflict"] => Err(request::conflict(
                code::IDEMPOTENCY_CONFLICT,
                "the idempotency key was used for something else",
            )),
            _ => Err(unexpected("create.lua", reply)),
        }
    }

    async fn create_at_bank(&self, payment: String, amount_fen: u64) -> Outcome<PaymentView> {
        let at_bank = self.bank.create(&payment, amount_fen).await?;
        let state = self.take_in(&payment, &at_bank).await?.state;
        // The order may have ended while the bank was asked: then there is nothing to pay any more.
        if matches!(state, PaymentState::Created | PaymentState::Captured) {
            Ok(self.view(payment, at_bank.bank_id, state, amount_fen))
        } else {
            Err(too_late())
        }
    }

    fn view(&self, payment_id: String, bank_id: String, state: PaymentState, amount_fen: u64) -> PaymentView {
        let pay_url = format!("{}/v1/payments/{bank_id}/pay", self.config().topology.bank);
        PaymentView { payment_id, bank_id, pay_url, state, amount_fen, currency: CURRENCY.to_owned() }
    }
}

/// A refusal of ours stays one; of everything else nobody knows whether it will have happened.
fn in_doubt(error: ApiError) -> ApiError {
    if error.status == StatusCode::CONFLICT && error.code == code::TOO_LATE {
        error
    } else {
        ApiError::unknown(error.message)
    }
}

fn too_late() -> ApiError {
    request::conflict(code::TOO_LATE, "the order cannot be paid (any more)")
}
