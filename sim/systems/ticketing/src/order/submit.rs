//! Submitting an order: from an admitted queue token to stock and seats that wait for the money.
//!
//! Every step is idempotent by the order id, and the idempotency key is bound to the order id first. So a repeated
//! submission goes through the same steps and ends in the same order, wherever the first one stopped; and what
//! nobody repeats is given up when its time to be placed has passed.
use http::StatusCode;
use redis::ScriptInvocation;

use crate::{
    api::{Deduct, DeductOutcome, LockOutcome, LockSeats, OrderView, SubmitOrder, code},
    domain::{CURRENCY, OrderState, PASSENGERS_MAX, Trip},
    ids::{Id, OrderId, QueueToken},
    keys,
    records::Order,
    service::{
        ApiError, Outcome,
        idempotency::Idempotent,
        request, script,
        store::{millis, unexpected},
    },
};

use super::{
    OrderService,
    moves::{ABANDON, Due, Move, OPEN, REJECT},
    mutants,
    snowflake::snowflake,
    view::order_view,
};

script!(BEGIN, "begin.lua");

/// An order that is being placed.
struct Placing<'a> {
    order: OrderId,
    trip: &'a Trip,
    passengers: u32,
    /// Payment deadline; `None` when the order is from an earlier submission, which may have got anywhere.
    pay_by_ms: Option<u64>,
}

impl OrderService {
    /// Submits an order for an account; the same idempotency key gives the same order.
    pub(super) async fn submit(&self, account: &str, key: &str, wanted: &SubmitOrder) -> Outcome<OrderView> {
        let amount_fen = self.price_fen(wanted)?;
        let placing = self.begin(account, key, wanted, amount_fen).await?;
        // From here on the key is bound to an order that a repetition would go on with: nothing is certain.
        self.place(&placing).await.map_err(in_doubt)
    }

    /// Takes stock, then seats, then opens the order for payment.
    async fn place(&self, placing: &Placing<'_>) -> Outcome<OrderView> {
        let pay_by_ms = match placing.pay_by_ms {
            Some(pay_by_ms) => pay_by_ms,
            None => match self.existing(placing.order).await? {
                record if record.state == OrderState::Placing => record.pay_by_ms,
                record => return settled(placing.order, &record),
            },
        };
        match self.deduct(placing).await? {
            DeductOutcome::Held => {}
            DeductOutcome::SoldOut => return self.end(placing, &REJECT).await,
            DeductOutcome::Released => return self.as_it_stands(placing.order).await,
        }
        let seats = match self.lock_seats(placing, pay_by_ms).await? {
            LockOutcome::Locked(seats) => seats,
            LockOutcome::Fragmented => return self.end(placing, &ABANDON).await,
            LockOutcome::Freed => return self.as_it_stands(placing.order).await,
        };
        world::always!(
            seats.len() == placing.passengers as usize,
            "ticketing.order.a-seat-per-passenger",
            "order {} is for {} passengers and has the seats {seats:?}",
            placing.order,
            placing.passengers
        );
        let seats = [("seats", seats.join(","))];
        self.orders.make_due(&OPEN, placing.order, &seats, Due::At(pay_by_ms)).await?;
        self.as_it_stands(placing.order).await
    }

    fn price_fen(&self, wanted: &SubmitOrder) -> Outcome<u64> {
        let class = self.config().sale.class_for(&wanted.trip)?;
        if !(1..=PASSENGERS_MAX).contains(&wanted.passengers) {
            return Err(request::bad(format!("an order is for 1 to {PASSENGERS_MAX} passengers")));
        }
        let seats_on_segments = u64::from(wanted.trip.segments()) * u64::from(wanted.passengers);
        class
            .price_per_segment_fen
            .checked_mul(seats_on_segments)
            .ok_or_else(|| request::bad("the price is beyond all numbers"))
    }

    /// Binds the idempotency key to an order, and begins that order: a new one, or that which the key was bound to
    /// before, wherever it has got to.
    async fn begin<'a>(
        &self,
        account: &str,
        key: &str,
        wanted: &'a SubmitOrder,
        amount_fen: u64,
    ) -> Outcome<Placing<'a>> {
        let instance = &self.orders.instance;
        let (trip, passengers) = (&wanted.trip, wanted.passengers);
        let shard = instance.config.shards.of_run(&trip.run);
        let token: QueueToken = request::id(&wanted.queue_token)?;
        if token.shard() != shard {
            return Err(token_refused());
        }
        if world::mutant!("ticketing.idempotency-key-ignored") {
            mutants::forget_key(instance, account, key, token).await?;
        }
        // The token is how the request got in, not what it is about.
        let digest = format!("submit {} {} {}-{} x{passengers}", trip.run, trip.class, trip.from, trip.to);
        let submission = Idempotent { account, key, digest };
        let new_order = || OrderId::new(shard, snowflake(self.number));
        let made = new_order();
        let mut order = submission.bind(instance, made).await?.order;
        loop {
            let script = self.begin_script(&submission, order, token, wanted, amount_fen);
            let reply: Vec<String> = instance.store.run(&script).await?;
            let pay_by_ms = match reply.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["begun", pay_by_ms] => {
                    world::sometimes!(order != made, "ticketing.order.begun-by-a-repetition");
                    Some(pay_by_ms.parse().map_err(|_| unexpected("begin.lua", &reply))?)
                }
                ["resumed"] => {
                    world::reachable!("ticketing.order.submitted-again");
                    None
                }
                ["token_refused"] => return Err(token_refused()),
                ["not_admitted"] => return Err(not_admitted()),
                ["id_taken"] => {
                    order = submission.bind_anew(instance, new_order(), order).await?.order;
                    continue;
                }
                _ => return Err(unexpected("begin.lua", &reply)),
            };
            return Ok(Placing { order, trip, passengers, pay_by_ms });
        }
    }

    fn begin_script(
        &self,
        submission: &Idempotent<'_>,
        order: OrderId,
        token: QueueToken,
        wanted: &SubmitOrder,
        amount_fen: u64,
    ) -> ScriptInvocation<'_> {
        let (config, trip, shard) = (self.config(), &wanted.trip, order.shard());
        let mut script = BEGIN.prepare_invoke();
        script.key(keys::order(order)).key(keys::work(shard, keys::ORDER_PLACING));
        script.key(keys::queue_token(token)).key(keys::queue_place(shard, &trip.run, submission.account));
        script.key(keys::queue(shard, &trip.run));
        script.arg(order.to_string()).arg(submission.account).arg(submission.key).arg(token.to_string());
        script.arg(&trip.run).arg(trip.class.as_str()).arg(trip.from).arg(trip.to).arg(wanted.passengers);
        script.arg(amount_fen).arg(CURRENCY).arg(millis(config.pay_within)).arg(millis(config.place_within));
        script
    }

    async fn deduct(&self, placing: &Placing<'_>) -> Outcome<DeductOutcome> {
        let request = Deduct { order: placing.order, trip: placing.trip.clone(), seats: placing.passengers };
        let within = self.config().timeouts.internal;
        self.inventory.post_to(&placing.trip.run, "/internal/deduct", &request, within).await
    }

    async fn lock_seats(&self, placing: &Placing<'_>, pay_by_ms: u64) -> Outcome<LockOutcome> {
        let request = LockSeats {
            order: placing.order,
            trip: placing.trip.clone(),
            seats: placing.passengers,
            expires_ms: pay_by_ms.saturating_add(millis(self.config().seat_lock_grace)),
        };
        self.seat.post("/internal/lock", &request, self.config().timeouts.internal).await
    }

    /// Ends an order for which there are no seats, and gives back what it may hold.
    async fn end(&self, placing: &Placing<'_>, step: &Move) -> Outcome<OrderView> {
        let reason = [("reason", code::SOLD_OUT.to_owned())];
        let outcome = self.orders.make(step, placing.order, &reason).await?;
        if !outcome.moved {
            return self.as_it_stands(placing.order).await;
        }
        if step.needs_cleanup() {
            self.clean_up_soon(placing.order);
        }
        Err(sold_out())
    }

    async fn existing(&self, order: OrderId) -> Outcome<Order> {
        let record = self.orders.read(order).await?;
        record.ok_or_else(|| ApiError::unknown("the order of this idempotency key is gone"))
    }

    /// The answer for an order, by where it stands: others may have moved it meanwhile.
    async fn as_it_stands(&self, order: OrderId) -> Outcome<OrderView> {
        settled(order, &self.existing(order).await?)
    }
}

/// The answer for an order that nothing has to be done for.
fn settled(order: OrderId, record: &Order) -> Outcome<OrderView> {
    match (record.state, record.reason.as_deref()) {
        (OrderState::Placing, _) => Err(ApiError::unknown("the order is still being placed")),
        (OrderState::Rejected, Some(code::SOLD_OUT)) => Err(sold_out()),
        (OrderState::Rejected, _) => {
            Err(request::conflict(code::ABANDONED, "the order was given up; nothing is held"))
        }
        _ => Ok(order_view(order, record)),
    }
}

/// A refusal stays one; of everything else nobody knows whether it will have happened.
fn in_doubt(error: ApiError) -> ApiError {
    if error.status.is_client_error() { error } else { ApiError::unknown(error.message) }
}

fn sold_out() -> ApiError {
    request::conflict(code::SOLD_OUT, "not enough seats are free over the whole trip")
}

fn token_refused() -> ApiError {
    let message = "the queue token is unknown, expired, used, or of another account or train";
    ApiError::new(StatusCode::FORBIDDEN, code::TOKEN_REFUSED, message)
}

fn not_admitted() -> ApiError {
    ApiError::new(StatusCode::LOCKED, code::NOT_ADMITTED, "the queue token is not admitted yet")
}
