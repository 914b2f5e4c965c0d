//! Choices that a seed repeats: SplitMix64, which is small, fast and good enough to pick tests.

/// A source of choices.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The choices of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so `Option` says nothing")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// The seeds to run: the one in the variable `SEED`, or `count` from `first` on.
    #[must_use]
    pub fn seeds(first: u64, count: u64) -> Vec<u64> {
        match std::env::var("SEED") {
            Ok(seed) => vec![seed.parse().expect("SEED is a number")],
            Err(_) => {
                let count = std::env::var("SEEDS").ok().map_or(count, |n| n.parse().unwrap());
                (first..first + count).collect()
            }
        }
    }
}
