//! Randomness, handed in like the clock, and jitter, which is drawn from it. Nothing here draws by itself.

use std::ops::RangeInclusive;

/// A source of unpredictable bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills `buffer` with unpredictable bytes.
    ///
    /// # Errors
    /// The operating system's generator failed; nothing may be sealed or named with what is in `buffer`.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted>;
}

/// The error of a random generator that failed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the random generator failed")]
pub struct Exhausted;

/// A random number in `range`. Multiply a waiting time by it, so that callers that failed together do not retry together.
/// If the generator fails, the result is the lower end: jitter is no secret, and no reason to stop.
pub fn jitter(random: &dyn Random, range: RangeInclusive<f64>) -> f64 {
    let mut bytes = [0; 4];
    let drawn = random.fill(&mut bytes).map_or(0, |()| u32::from_le_bytes(bytes));
    let (low, high) = range.into_inner();
    low + (high - low) * f64::from(drawn) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(Option<u8>);

    impl Random for Constant {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted> {
            buffer.fill(self.0.unwrap_or(0xAA));
            self.0.map(drop).ok_or(Exhausted)
        }
    }

    #[test]
    fn jitter_reaches_both_ends_of_its_range_and_no_further() {
        assert_eq!(jitter(&Constant(Some(0)), 0.8..=1.2), 0.8);
        assert_eq!(jitter(&Constant(Some(0xFF)), 0.5..=1.0), 1.0);
        assert_eq!(jitter(&Constant(None), 0.5..=1.0), 0.5, "the generator has failed");
    }
}
