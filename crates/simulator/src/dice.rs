//! The one source of chance. A seed must give the same calls on every machine and with every
//! version of every library, so the generator (SplitMix64) is written out here: `rand` promises
//! no such thing for its standard generator.

/// A seeded generator of chances.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed ^ 0x5EED_5EED_5EED_5EED);
        dice.next();
        dice
    }

    /// Independent dice for one device (or one purpose), so that what happens on one does not
    /// move another.
    pub(crate) fn fork(seed: u64, stream: u64) -> Self {
        Self::new(seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0xD1B5_4A32_D192_ED03)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { ((u128::from(self.next()) * u128::from(end)) >> 64) as u64 }
    }

    /// A number from `low` to `high`, both possible.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        // Always draws, so that a probability of 0 leaves the later draws where they were.
        let draw = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        draw < p
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len() as u64) as usize)
    }

    /// The index of one of `weights`, drawn by weight; `None` if all are 0.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let mut draw = self.below(total);
        for (index, &weight) in weights.iter().enumerate() {
            if draw < u64::from(weight) {
                return Some(index);
            }
            draw -= u64::from(weight);
        }
        None
    }

    /// `mean` give or take half of it.
    pub(crate) fn around(&mut self, mean: u64) -> u64 {
        self.between(mean / 2, mean + mean / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws_and_forks_differ() {
        let mut a = Dice::fork(42, 1);
        let mut b = Dice::fork(42, 1);
        let mut c = Dice::fork(42, 2);
        let draws: Vec<_> = (0..8).map(|_| a.next()).collect();
        assert_eq!(draws, (0..8).map(|_| b.next()).collect::<Vec<_>>());
        assert_ne!(draws, (0..8).map(|_| c.next()).collect::<Vec<_>>());
    }

    #[test]
    fn draws_stay_in_range() {
        let mut dice = Dice::new(7);
        for _ in 0..1000 {
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert!((50..=150).contains(&dice.around(100)));
            assert_ne!(dice.weighted(&[1, 0, 3]), Some(1));
        }
        assert_eq!(dice.weighted(&[0, 0]), None);
        assert!(!dice.chance(0.0));
        assert!(dice.chance(1.0));
    }
}
