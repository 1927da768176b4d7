//! The seats of a train: how they are called.
//!
//! `lock.lua` makes the same labels from the same numbers.

/// Seats of a car; the last car of a class may have fewer.
pub(crate) const SEATS_PER_CAR: u32 = 80;

/// Label of the seat with this number, from 0: car and seat, `07-12`.
pub fn label(number: u32) -> String {
    format!("{:02}-{:02}", number / SEATS_PER_CAR + 1, number % SEATS_PER_CAR + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cars_and_seats_count_from_1() {
        assert_eq!(label(0), "01-01");
        assert_eq!(label(79), "01-80");
        assert_eq!(label(80), "02-01");
        assert_eq!(label(8_000), "101-01");
    }
}
