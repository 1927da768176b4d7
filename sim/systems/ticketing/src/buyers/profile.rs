//! How people behave.
use std::time::Duration;

/// The behaviour of the buyers. Shares are probabilities from 0 to 1, drawn for each buyer.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// How long a buyer tries to get an order before giving up.
    pub patience: Duration,
    /// How steeply demand falls from train to train in the order of the sale: the n-th train (from 0) is wanted
    /// 1 / (1 + n · hotness) times as often as the first; 0 or more, 0 is even demand.
    pub hotness: f64,
    /// Share that wants first class, on trains that have it.
    pub first_class: f64,
    /// Shares that travel as two and as three; the others travel alone.
    pub travel_as: [f64; 2],
    /// Share that looks at what remains before queueing.
    pub look_first: f64,
    /// Share that leaves the queue while waiting, at any time within the patience.
    pub leave_queue: f64,
    /// Share that sends an acknowledged submission once more with the same key, as a double click does.
    pub submit_twice: f64,
    /// Share that cancels the order instead of paying it.
    pub cancel: f64,
    /// Share that cancels the order just after paying it, while the callback is on its way.
    pub cancel_after_paying: f64,
    /// Share that neither pays nor cancels.
    pub never_pay: f64,
    /// Share that pays around the payment deadline, a little before or after it.
    pub pay_late: f64,
    /// Share that asks for the payment and pays twice, with the same key.
    pub pay_twice: f64,
    /// Share of those who find the train sold out that tries another one, once.
    pub second_choice: f64,
    /// Time that people need to decide, on average.
    pub think: Duration,
    /// Time that people need to pay, on average.
    pub pay_after: Duration,
    /// How long a request may take before the browser gives it up. Longer than the gateway's own limit.
    pub request_timeout: Duration,
    /// How long after the payment deadline buyers look for their order before they leave.
    pub follow: Duration,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            patience: Duration::from_secs(60),
            hotness: 0.5,
            first_class: 0.15,
            travel_as: [0.3, 0.1],
            look_first: 0.7,
            leave_queue: 0.04,
            submit_twice: 0.05,
            cancel: 0.05,
            cancel_after_paying: 0.02,
            never_pay: 0.06,
            pay_late: 0.05,
            pay_twice: 0.05,
            second_choice: 0.25,
            think: Duration::from_millis(1500),
            pay_after: Duration::from_secs(4),
            request_timeout: Duration::from_secs(10),
            follow: Duration::from_secs(60),
        }
    }
}
