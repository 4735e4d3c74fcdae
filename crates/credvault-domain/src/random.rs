//! Randomness, handed in like the clock.

/// Where unpredictable bytes come from.
pub trait Random: Send + Sync + 'static {
    /// Fills `buffer` with unpredictable bytes.
    ///
    /// # Errors
    /// The operating system's generator failed; nothing may be sealed or named with what is in `buffer`.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted>;
}

/// The random generator gave nothing.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the random generator failed")]
pub struct Exhausted;
