//! The system's random generator.

use credvault_domain::{Exhausted, Random};
use ring::rand::SecureRandom as _;

/// The kernel's generator, asked anew at each call, so that a forked or cloned machine repeats nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted> {
        ring::rand::SystemRandom::new().fill(buffer).map_err(|_| Exhausted)
    }
}
