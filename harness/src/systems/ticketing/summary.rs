//! Who got tickets: per train, what was there, who came, and how it went for them.

use record::table::Table;
use ticketing::Config;
use ticketing::buyers::Buyers;

use super::facts::Facts;

/// Trains beyond so many are summed up in one row.
const ROWS_MAX: usize = 24;

/// One train, or several summed up.
#[derive(Default, Clone)]
struct Row {
    /// Seats × segments: what there was to sell, and what was sold of it.
    capacity: u64,
    sold: u64,
    tickets: u64,
    buyers: u64,
    got: u64,
    sold_out: u64,
    standby: u64,
    left: u64,
    refunded: u64,
    gave_up: u64,
}

impl Row {
    fn add(&mut self, other: &Row) {
        self.capacity += other.capacity;
        self.sold += other.sold;
        self.tickets += other.tickets;
        self.buyers += other.buyers;
        self.got += other.got;
        self.sold_out += other.sold_out;
        self.standby += other.standby;
        self.left += other.left;
        self.refunded += other.refunded;
        self.gave_up += other.gave_up;
    }

    fn cells(&self, name: &str, seats: &str) -> Vec<String> {
        let filled = if self.capacity == 0 { 0.0 } else { 100.0 * self.sold as f64 / self.capacity as f64 };
        let Row { buyers, got, tickets, sold_out, standby, left, refunded, gave_up, .. } = *self;
        let counts = [buyers, got, tickets, sold_out, standby, left, refunded, gave_up];
        let mut cells = vec![name.to_owned(), seats.to_owned(), format!("{filled:.1} %")];
        cells.extend(counts.map(|count| count.to_string()));
        cells
    }
}

/// The table of a run.
pub(super) fn tables(config: &Config, facts: &Facts, buyers: &Buyers) -> Vec<Table> {
    let tally = buyers.tally();
    let columns = [
        "train", "seats", "filled", "buyers", "served", "tickets", "sold out", "standby", "left", "refunded",
        "gave up",
    ];
    let mut rows = Vec::new();
    let (mut total, mut rest) = (Row::default(), Row::default());
    for run in config.sale.runs() {
        let of_run = tally.get(&run.train.id).cloned().unwrap_or_default();
        let seats: u64 = run.classes.iter().map(|class| u64::from(class.seats)).sum();
        let valid = facts.tickets.values().filter(|ticket| {
            ticket.trip.run == run.train.id && ticket.state == ticketing::domain::TicketState::Valid
        });
        let (tickets, sold) =
            valid.fold((0, 0), |(count, sold), ticket| (count + 1, sold + u64::from(ticket.trip.segments())));
        let row = Row {
            capacity: seats * u64::from(run.segments()),
            sold,
            tickets,
            buyers: of_run.arrived,
            got: of_run.ticketed,
            sold_out: of_run.sold_out,
            standby: of_run.standby_offered,
            left: of_run.abandoned,
            refunded: of_run.refunded,
            gave_up: of_run.gave_up,
        };
        total.add(&row);
        match rows.len() < ROWS_MAX {
            true => rows.push(row.cells(&run.train.name, &seats.to_string())),
            false => rest.add(&row),
        }
    }
    let runs = config.sale.runs().len();
    if runs > ROWS_MAX {
        rows.push(rest.cells(&format!("{} more trains", runs - ROWS_MAX), ""));
    }
    rows.push(total.cells("all", ""));
    let title = "Who got tickets".to_owned();
    vec![Table { title, columns: columns.map(str::to_owned).to_vec(), rows }]
}
