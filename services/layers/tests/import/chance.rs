//! Chance that is the same for the same seed.

pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        // Seeds that are near each other are far from each other then.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// By the seed in `HEARTH_TEST_SEED`, or another one each time. It is printed.
    pub fn by_seed() -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        let seed = std::env::var("HEARTH_TEST_SEED")
            .map_or(u64::from(now.subsec_nanos()) ^ now.as_secs(), |seed| {
                seed.parse().unwrap()
            });
        eprintln!("HEARTH_TEST_SEED={seed}");
        Self::new(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn size(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.size(all.len())]
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}
