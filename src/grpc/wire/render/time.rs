//! Instants as messages have them.

use credvault_domain::Timestamp;
use prost_types::Timestamp as WireTimestamp;

pub(crate) fn timestamp(time: Timestamp) -> WireTimestamp {
    WireTimestamp { seconds: time.micros().div_euclid(1_000_000), nanos: time.subsecond_nanos() }
}
