//! Orders as others see them: buyers, and the other services.
use crate::{
    api::{OrderRecord, OrderView},
    domain::OrderState,
    ids::OrderId,
    records::Order,
};

/// Whether it exists for an account. Before it is open an order does not exist for its buyer, and another's never does.
pub(super) fn is_visible(record: &Order, account: &str) -> bool {
    record.account == account && !matches!(record.state, OrderState::Placing | OrderState::Rejected)
}

/// As its buyer sees it.
pub(super) fn order_view(order: OrderId, record: &Order) -> OrderView {
    OrderView {
        order_id: order.to_string(),
        state: record.state,
        trip: record.trip.clone(),
        passengers: record.passengers,
        seats: record.seats.clone(),
        tickets: record.tickets.clone(),
        amount_fen: record.amount_fen,
        currency: record.currency.clone(),
        pay_by: rfc3339(record.pay_by_ms),
        reason: record.reason.clone(),
    }
}

/// As the other services see it.
pub(super) fn order_record(order: OrderId, record: Order) -> OrderRecord {
    OrderRecord {
        order,
        account: record.account,
        state: record.state,
        trip: record.trip,
        passengers: record.passengers,
        seats: record.seats,
        amount_fen: record.amount_fen,
        currency: record.currency,
    }
}

/// A time in ms since 1970 as RFC 3339 in UTC; the last one that has such a form for all later ones.
fn rfc3339(ms: u64) -> String {
    let timestamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_carry_their_zone() {
        assert_eq!(rfc3339(1_490_918_400_500), "2017-03-31T00:00:00.5Z");
        assert!(rfc3339(u64::MAX).ends_with('Z'));
    }
}
