//! The system's random generator, the one source of randomness that the service uses.

use credvault_domain::{Exhausted, Random};
use ring::rand::SecureRandom as _;

/// The kernel's generator. Each call asks the kernel, so that a process or machine that was cloned repeats no bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted> {
        ring::rand::SystemRandom::new().fill(buffer).map_err(|_| Exhausted)
    }
}
