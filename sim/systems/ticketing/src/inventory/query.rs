//! What remains, as buyers see it: the local tier of the cache in front of the stock (ticketing spec, query service).
//!
//! A buyer's look may be half a second old; nothing is decided by it. Requests for a coach that come while it is being
//! read wait for that one answer, and while the store gives none, they get what it last said.
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use world::time::{Duration, Instant};

use crate::{
    domain::{Class, Trip},
    service::Outcome,
};

use super::stock::Stock;

/// How long an answer is kept, in ms (ticketing spec: local 200–500 ms). Drawn for each, so that those of many coaches
/// do not run out together.
const KEPT_MS: Range<u64> = 200..501;

/// Seats that remain on each segment.
type Segments = Arc<[u32]>;

/// The answers of one instance.
pub(super) struct RemainingCache {
    stock: Arc<Stock>,
    coaches: Mutex<BTreeMap<(String, Class), Arc<Answer>>>,
}

/// What the store says of a coach, for a while.
struct Answer {
    until: Instant,
    /// Set once the store has answered, or has not.
    segments: OnceCell<Outcome<Segments>>,
    /// What it said before.
    before: Option<Segments>,
}

impl RemainingCache {
    pub(super) fn new(stock: Arc<Stock>) -> RemainingCache {
        RemainingCache { stock, coaches: Mutex::default() }
    }

    /// Tickets that could be sold for a trip: the least stock of its segments.
    pub(super) async fn of(&self, trip: &Trip) -> Outcome<u32> {
        self.stock.instance.config.sale.class_for(trip)?;
        let answer = self.answer(trip);
        let segments = answer.segments.get_or_init(async || match self.stock.segments(trip).await {
            Ok(segments) => Ok(segments.into()),
            Err(error) => answer.before.clone().ok_or(error).inspect(|_| {
                world::reachable!("ticketing.inventory.stale-answer");
            }),
        });
        let segments = segments.await.as_ref().map_err(Clone::clone)?;
        let of_trip = segments.get(trip.from as usize..trip.to as usize).unwrap_or_default();
        Ok(of_trip.iter().copied().min().unwrap_or(0))
    }

    /// The answer that counts now for the coach of a trip; a new one, to be asked for, when there is none.
    fn answer(&self, trip: &Trip) -> Arc<Answer> {
        let now = Instant::now();
        let mut coaches = self.coaches.lock().unwrap_or_else(PoisonError::into_inner);
        let last = coaches.get(&(trip.run.clone(), trip.class));
        // An error is for those who waited for it only.
        let counts =
            |answer: &&Arc<Answer>| now < answer.until && !matches!(answer.segments.get(), Some(Err(_)));
        if let Some(answer) = last.filter(counts) {
            return Arc::clone(answer);
        }
        let before = last.and_then(|last| match last.segments.get() {
            Some(Ok(segments)) => Some(Arc::clone(segments)),
            _ => last.before.clone(),
        });
        let until = now + Duration::from_millis(world::rand::range(KEPT_MS));
        let answer = Arc::new(Answer { until, segments: OnceCell::new(), before });
        coaches.insert((trip.run.clone(), trip.class), Arc::clone(&answer));
        answer
    }
}
