//! Delta debugging: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE Transactions on
//! Software Engineering 28(2), 2002: the algorithm `ddmin`.

/// The smallest part of `items` that was found to fail still: none of its items alone can be left out any more, unless
/// `fails` has given up before. `items` themselves fail.
///
/// `fails` gets parts to choose from, the better ones first, and says which of them fails, if one does.
pub(super) fn ddmin<T: Clone>(items: Vec<T>, mut fails: impl FnMut(&[Vec<T>]) -> Option<usize>) -> Vec<T> {
    if items.is_empty() || fails(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut items = items;
    let mut parts = 2;
    while items.len() > 1 {
        let chunks: Vec<&[T]> = items.chunks(items.len().div_ceil(parts)).collect();
        let mut candidates: Vec<Vec<T>> = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        // The complements of two parts are these two parts.
        if chunks.len() > 2 {
            let without = |left_out: usize| {
                let kept = chunks.iter().enumerate().filter(move |(index, _)| *index != left_out);
                kept.flat_map(|(_, chunk)| chunk.iter().cloned()).collect()
            };
            candidates.extend((0..chunks.len()).map(without));
        }
        let count = chunks.len();
        match fails(&candidates) {
            Some(index) => {
                items = candidates.swap_remove(index);
                parts = if index < count { 2 } else { (count - 1).max(2) };
            }
            None if count < items.len() => parts = (count * 2).min(items.len()),
            None => break,
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What fails because of some items, whatever else there is, shrinks to exactly them.
        #[test]
        fn exactly_the_items_that_are_needed_are_left(
            count in 1..200_usize,
            needed in proptest::collection::btree_set(0..200_usize, 0..8),
        ) {
            let needed: Vec<usize> = needed.into_iter().filter(|item| *item < count).collect();
            let mut tried = 0_usize;
            let left = ddmin((0..count).collect(), |candidates| {
                tried += candidates.len();
                candidates.iter().position(|part| needed.iter().all(|item| part.contains(item)))
            });
            prop_assert_eq!(left, needed);
            // Quadratic at worst, by the paper: n² + 3n.
            prop_assert!(tried <= 2 * (count * count + 3 * count));
        }
    }

    #[test]
    fn it_ends_when_nothing_fails_any_more() {
        let mut calls = 0;
        let left = ddmin(vec![1, 2, 3, 4, 5], |_| {
            calls += 1;
            None
        });
        assert_eq!(left, [1, 2, 3, 4, 5]);
        assert!(calls < 6);
    }
}
