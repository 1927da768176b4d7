//! How it ended for the buyers.

/// Buyers of one train run by how it ended for them. Those of `arrived` who are in none of the others are still at
/// it, or have left because of the number of operations that they had. Somebody who tries a second train counts for both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Wanted a ticket.
    pub arrived: u64,
    /// Got tickets.
    pub ticketed: u64,
    /// Passengers with a ticket.
    pub passengers: u64,
    /// Were told that it is sold out.
    pub sold_out: u64,
    /// Were offered standby instead of a place in the queue.
    pub standby_offered: u64,
    /// Left by their own choice: left the queue, cancelled, did not pay or paid too late.
    pub abandoned: u64,
    /// Paid in time and got the money back instead of a ticket.
    pub refunded: u64,
    /// Their patience was over before they knew how it ended.
    pub gave_up: u64,
}
