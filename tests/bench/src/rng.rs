//! Which auction comes next: evenly, or by Zipf's law. Seeded, so that each run picks the same.

/// Numbers that look random (SplitMix64).
pub(crate) struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How often each of the scopes is picked.
pub(crate) enum Spread {
    /// All of so many alike.
    Even(usize),
    /// The shares of the first, the first two, ...
    Zipf(Vec<f64>),
}

impl Spread {
    /// So many scopes, evenly, or the nth with a weight of n to the power of minus `exponent`.
    pub(crate) fn new(scopes: usize, exponent: Option<f64>) -> Self {
        let Some(exponent) = exponent else { return Spread::Even(scopes) };
        let mut sum = 0.0;
        let mut shares = Vec::with_capacity(scopes);
        for n in 1..=scopes {
            sum += (n as f64).powf(-exponent);
            shares.push(sum);
        }
        shares.iter_mut().for_each(|share| *share /= sum);
        Spread::Zipf(shares)
    }

    /// The next scope.
    pub(crate) fn pick(&self, rng: &mut Rng) -> usize {
        match self {
            Spread::Even(1) => 0,
            Spread::Even(scopes) => (rng.unit() * *scopes as f64) as usize,
            Spread::Zipf(shares) => {
                let at = rng.unit();
                shares.partition_point(|share| *share <= at).min(shares.len() - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Rng, Spread};

    fn counts(spread: &Spread, scopes: usize) -> Vec<u32> {
        let (mut rng, mut counts) = (Rng::new(1), vec![0; scopes]);
        (0..100_000).for_each(|_| counts[spread.pick(&mut rng)] += 1);
        counts
    }

    #[test]
    fn an_even_spread_picks_all_alike() {
        for count in counts(&Spread::new(100, None), 100) {
            assert!((800..1_200).contains(&count), "{count}");
        }
    }

    #[test]
    fn by_zipfs_law_the_nth_comes_with_its_share() {
        let counts = counts(&Spread::new(10_000, Some(1.5)), 10_000);
        let of_first = f64::from(counts[0]) / 100_000.0;
        // The sum of n^-1.5 up to 10,000 is 2.592.
        assert!((of_first - 1.0 / 2.592).abs() < 0.01, "{of_first}");
        let ratio = f64::from(counts[0]) / f64::from(counts[3]);
        assert!((ratio - 8.0).abs() < 0.6, "{ratio}");
    }
}
