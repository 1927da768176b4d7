//! The journey of a buyer: look, queue, submit, pay, wait for the ticket; or leave at any point of it.
use std::time::Duration;

use serde::Deserialize;
use world::{rand, time::Instant};

use super::{
    Shared,
    browser::{Ask, Browser, No},
    demand::Wish,
    operation, pause, query,
};
use crate::{
    api::{
        CancelView, CreatePayment, JoinQueue, OrderView, PaymentView, QueuePlace, QueueState, SubmitOrder,
        code,
    },
    domain::OrderState,
};

/// The first interval between two looks at the queue or at an order; each further one is half as long again.
const POLL_FIRST: Duration = Duration::from_millis(700);

/// The longest interval between two looks.
const POLL_MAX: Duration = Duration::from_secs(5);

/// How often somebody tries again to pay after the bank has declined it.
const PAY_TRIES: u32 = 3;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Ticketed,
    SoldOut,
    StandbyOffered,
    Abandoned,
    Refunded,
    GaveUp,
}

/// What a buyer does with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    Pay,
    PayLate,
    PayAndCancel,
    Cancel,
    Nothing,
}

/// From arrival to ticket or departure.
pub(super) async fn journey<'a>(shared: &'a Shared, browser: &mut Browser<'a>, patience: Duration) {
    let until = Instant::now() + patience;
    for choice in 0..2 {
        let Some(wish) = shared.demand.draw(&shared.config.sale) else { return };
        shared.count(&wish.trip.run, |tally| tally.arrived += 1);
        let end = Purchase { shared, browser, wish: &wish, until, choice, attempts: 0 }.make().await;
        shared.count(&wish.trip.run, |tally| match end {
            End::Ticketed => {
                tally.ticketed += 1;
                tally.passengers += u64::from(wish.passengers);
            }
            End::SoldOut => tally.sold_out += 1,
            End::StandbyOffered => tally.standby_offered += 1,
            End::Abandoned => tally.abandoned += 1,
            End::Refunded => tally.refunded += 1,
            End::GaveUp => tally.gave_up += 1,
        });
        let is_sold_out = matches!(end, End::SoldOut | End::StandbyOffered);
        if !is_sold_out || Instant::now() > until || !rand::chance(shared.profile.second_choice) {
            return;
        }
        pause(shared.profile.think).await;
    }
}

/// Buying one trip.
struct Purchase<'a, 'b> {
    shared: &'a Shared,
    browser: &'b mut Browser<'a>,
    wish: &'b Wish,
    /// When the patience is over.
    until: Instant,
    /// 0 for the first trip that the buyer tries, 1 for the second.
    choice: u32,
    /// Submissions with a key of their own.
    attempts: u32,
}

impl Purchase<'_, '_> {
    async fn make(&mut self) -> End {
        if rand::chance(self.shared.profile.look_first) {
            query::look(self.browser, self.wish).await;
            pause(self.shared.profile.think).await;
        }
        match self.order().await {
            Ok(order) => self.see_through(&order).await,
            Err(end) => end,
        }
    }

    /// Queues and submits until there is an order.
    async fn order(&mut self) -> Result<OrderView, End> {
        let leave_at = rand::chance(self.shared.profile.leave_queue).then(|| {
            let left = self.until.duration_since(Instant::now());
            Instant::now() + left.mul_f64(rand::f64())
        });
        while Instant::now() < self.until {
            let token = self.queue(leave_at).await?;
            let key = self.key("submit", self.attempts);
            self.attempts += 1;
            let submit = SubmitOrder {
                trip: self.wish.trip.clone(),
                passengers: self.wish.passengers,
                queue_token: token,
            };
            let ask = Ask::post(operation::SUBMIT, "/v1/orders".to_owned(), &self.wish.trip.run, &submit)
                .with_key(key);
            match self.browser.insist(&ask, self.until, |order: &OrderView| order.order_id.clone()).await {
                Ok(order) => {
                    if rand::chance(self.shared.profile.submit_twice) {
                        let _ = self.browser.ask(&ask, |order: &OrderView| order.order_id.clone()).await;
                    }
                    return Ok(order);
                }
                Err(no) => match no.code() {
                    code::SOLD_OUT => return Err(End::SoldOut),
                    code::STANDBY_OFFERED => return Err(End::StandbyOffered),
                    // The place is gone or not yet admitted, and nothing is held: back to the queue.
                    code::TOKEN_REFUSED | code::NOT_ADMITTED | code::ABANDONED => pause(POLL_FIRST).await,
                    _ => return Err(End::GaveUp),
                },
            }
        }
        Err(End::GaveUp)
    }

    /// Waits in the queue until admitted: the token.
    async fn queue(&mut self, leave_at: Option<Instant>) -> Result<String, End> {
        let run = &self.wish.trip.run;
        let join = Ask::post(operation::JOIN, "/v1/queue".to_owned(), run, &JoinQueue { run: run.clone() });
        let mut place = match self.browser.insist(&join, self.until, seen_place).await {
            Ok(place) => place,
            Err(no) => return Err(end_of_queue(&no)),
        };
        let mut interval = POLL_FIRST;
        loop {
            match place.state {
                QueueState::Admitted => return Ok(place.token),
                QueueState::StandbyOffered => return Err(End::StandbyOffered),
                QueueState::Waiting => {}
            }
            if leave_at.is_some_and(|leave_at| Instant::now() >= leave_at) {
                return Err(End::Abandoned);
            }
            let estimate = Duration::from_millis(place.wait_ms.unwrap_or_default());
            pause(estimate.clamp(interval, POLL_MAX)).await;
            interval = (interval * 3 / 2).min(POLL_MAX);
            if Instant::now() > self.until {
                return Err(End::GaveUp);
            }
            let poll = Ask::get(operation::POLL, format!("/v1/queue/{}", place.token), run);
            place = match self.browser.insist(&poll, self.until, seen_place).await {
                Ok(place) => place,
                Err(no) => return Err(end_of_queue(&no)),
            };
        }
    }

    /// Does with an order what the buyer wants to do with it, and waits for what becomes of it.
    async fn see_through(&mut self, order: &OrderView) -> End {
        let profile = &self.shared.profile;
        let pay_within = self.shared.config.pay_within;
        let until = Instant::now() + pay_within + profile.follow;
        let intent = draw_intent(self.shared);
        match intent {
            Intent::Pay | Intent::PayAndCancel => pause(profile.pay_after).await,
            // Around the deadline: from a fifth of the time before it to a tenth after it.
            Intent::PayLate => world::time::sleep(pay_within.mul_f64(0.8 + 0.3 * rand::f64())).await,
            Intent::Cancel => {
                pause(profile.think).await;
                return self.cancel(order, until).await;
            }
            Intent::Nothing => return End::Abandoned,
        }
        let is_paid = self.pay(order, until).await;
        if is_paid && intent == Intent::PayAndCancel {
            self.cancel(order, until).await;
        }
        match self.follow(order, until).await {
            Some(OrderState::Success) => End::Ticketed,
            Some(_) if intent == Intent::PayLate || !is_paid => End::Abandoned,
            Some(_) if intent == Intent::PayAndCancel => End::Abandoned,
            Some(_) => End::Refunded,
            None => End::GaveUp,
        }
    }

    /// Asks for the payment and pays it at the bank. Whether the bank has said that it is paid.
    async fn pay(&mut self, order: &OrderView, until: Instant) -> bool {
        let id = &order.order_id;
        let create = Ask::post(
            operation::CREATE_PAYMENT,
            "/v1/payments".to_owned(),
            id,
            &CreatePayment { order_id: id.clone() },
        )
        .with_key(self.key("pay", 0));
        let seen = |payment: &PaymentView| payment.payment_id.clone();
        let Ok(payment) = self.browser.insist(&create, until, seen).await else { return false };
        let is_twice = rand::chance(self.shared.profile.pay_twice);
        if is_twice {
            let _ = self.browser.ask(&create, seen).await;
        }
        let payer = self.browser.account().to_owned();
        let pay = Ask::post(operation::PAY, payment.pay_url, id, &serde_json::json!({ "payer": payer }));
        for _ in 0..PAY_TRIES {
            match self.browser.insist(&pay, until, |paid: &Paid| paid.state.clone()).await {
                Ok(_) => {
                    if is_twice {
                        let _ = self.browser.ask(&pay, |paid: &Paid| paid.state.clone()).await;
                    }
                    return true;
                }
                Err(No::Refused { error, .. }) if error.status == http::StatusCode::PAYMENT_REQUIRED => {
                    pause(self.shared.profile.think).await;
                }
                Err(_) => return false,
            }
        }
        false
    }

    async fn cancel(&mut self, order: &OrderView, until: Instant) -> End {
        let id = &order.order_id;
        let ask = Ask::post_nothing(operation::CANCEL, format!("/v1/orders/{id}/cancel"), id)
            .with_key(self.key("cancel", 0));
        match self.browser.insist(&ask, until, |cancelled: &CancelView| cancelled.state.to_string()).await {
            Ok(_) | Err(No::Refused { .. }) => End::Abandoned,
            Err(_) => End::GaveUp,
        }
    }

    /// Looks at the order until it is final; `None` when the buyer stops looking before.
    async fn follow(&mut self, order: &OrderView, until: Instant) -> Option<OrderState> {
        let ask = Ask::get(operation::STATUS, format!("/v1/orders/{}", order.order_id), &order.order_id);
        let mut interval = POLL_FIRST;
        while Instant::now() < until {
            pause(interval).await;
            interval = (interval * 3 / 2).min(POLL_MAX);
            let seen = |order: &OrderView| format!("{} {}", order.order_id, order.state);
            if let Ok(order) = self.browser.ask(&ask, seen).await
                && order.state.is_final()
            {
                return Some(order.state);
            }
        }
        None
    }

    /// An idempotency key: the same for all repetitions of one intention, and for nothing else.
    fn key(&self, intention: &str, attempt: u32) -> String {
        format!("{}-{}-{intention}-{attempt}", self.browser.account(), self.choice)
    }
}

/// The part of the bank's answer that a buyer sees.
#[derive(Deserialize)]
struct Paid {
    state: String,
}

fn seen_place(place: &QueuePlace) -> String {
    let state = match place.state {
        QueueState::Waiting => "waiting",
        QueueState::Admitted => "admitted",
        QueueState::StandbyOffered => "standby_offered",
    };
    format!("{state} {}", place.position)
}

fn end_of_queue(no: &No) -> End {
    match no.code() {
        code::STANDBY_OFFERED => End::StandbyOffered,
        code::SOLD_OUT => End::SoldOut,
        _ => End::GaveUp,
    }
}

fn draw_intent(shared: &Shared) -> Intent {
    let profile = &shared.profile;
    let shares = [
        (profile.cancel, Intent::Cancel),
        (profile.never_pay, Intent::Nothing),
        (profile.pay_late, Intent::PayLate),
        (profile.cancel_after_paying, Intent::PayAndCancel),
    ];
    let mut point = rand::f64();
    for (share, intent) in shares {
        if point < share {
            return intent;
        }
        point -= share;
    }
    Intent::Pay
}
