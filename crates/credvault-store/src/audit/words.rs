//! What a filter may find in a whole bundle: a Bloom filter of keyed hashes. It says "not here" for sure, and "perhaps" once in
//! a hundred cases wrongly. The key is the tenant's audit key, so once that is gone the words say nothing about the records.
//!
//! ```text
//! words = version (1) = 1 || bits, a power of two of bytes
//! ```

use std::collections::BTreeSet;

use credvault_audit::Record;
use credvault_crypto::AuditKey;
use credvault_domain::TraceId;

const VERSION: u8 = 1;
/// How many bits each value sets.
const BITS_EACH: u64 = 5;
/// How many bits there are for each value.
const ROOM_EACH: usize = 10;
const MIN_BITS: usize = 64;
const MAX_BITS: usize = 32 * 1024;

/// A field that is looked for by its value. A record without the field has the value without bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Field {
    Service,
    User,
    Owner,
    Action,
    Connection,
    Provider,
    Outcome,
    Reason,
    Purpose,
    TenantSource,
    Source,
    Trace,
}

impl Field {
    /// The name goes into the hash: it never changes.
    const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::User => "user",
            Self::Owner => "owner",
            Self::Action => "action",
            Self::Connection => "connection",
            Self::Provider => "provider",
            Self::Outcome => "outcome",
            Self::Reason => "reason",
            Self::Purpose => "purpose",
            Self::TenantSource => "tenant_source",
            Self::Source => "source",
            Self::Trace => "trace",
        }
    }
}

/// The values of a record by their fields.
pub(super) fn values(record: &Record<'_>) -> [(Field, Vec<u8>); 12] {
    let text =
        |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().as_bytes().to_vec();
    [
        (Field::Service, text(&record.service)),
        (Field::User, text(&record.user)),
        (Field::Owner, text(&record.owner_user)),
        (Field::Action, record.action.as_bytes().to_vec()),
        (Field::Connection, record.connection.map(|id| id.as_bytes().to_vec()).unwrap_or_default()),
        (Field::Provider, text(&record.provider)),
        (Field::Outcome, record.outcome.as_bytes().to_vec()),
        (Field::Reason, text(&record.reason)),
        (Field::Purpose, text(&record.purpose)),
        (Field::TenantSource, record.tenant_source.as_bytes().to_vec()),
        (Field::Trace, TraceId::from_bytes(record.trace).to_string().into_bytes()),
        (
            Field::Source,
            record.source_address.map(|address| address.to_string().into_bytes()).unwrap_or_default(),
        ),
    ]
}

/// The hash of a value, as it is looked for.
pub(super) fn word(key: &AuditKey, field: Field, value: &[u8]) -> u64 {
    key.word(field.name(), value)
}

/// The words of a bundle that has these values.
pub(super) fn words(key: &AuditKey, values: &BTreeSet<(Field, Vec<u8>)>) -> Vec<u8> {
    let bits = (values.len() * ROOM_EACH).next_power_of_two().clamp(MIN_BITS, MAX_BITS);
    let mut words = vec![0; 1 + bits / 8];
    words[0] = VERSION;
    for (field, value) in values {
        for place in places(word(key, *field, value), bits) {
            if let Some(byte) = words.get_mut(1 + place / 8) {
                *byte |= 1 << (place % 8);
            }
        }
    }
    words
}

/// Whether a bundle may have a value. Words of a later version may have any.
pub(super) fn may_have(words: &[u8], word: u64) -> bool {
    let Some((&VERSION, bits)) = words.split_first() else { return true };
    let has = |place: usize| bits.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0);
    bits.is_empty() || places(word, bits.len() * 8).all(has)
}

/// The places of the bits that a hash sets: two halves of it, combined (Kirsch and Mitzenmacher, "Less hashing, same
/// performance").
fn places(word: u64, bits: usize) -> impl Iterator<Item = usize> {
    let (first, step) = (word & 0xffff_ffff, (word >> 32) | 1);
    (0..BITS_EACH).map(move |number| {
        let place = first.wrapping_add(number.wrapping_mul(step)) % (bits as u64);
        usize::try_from(place).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use credvault_crypto::SystemRandom;

    use super::*;

    fn user(number: u32) -> (Field, Vec<u8>) {
        (Field::User, format!("u{number}").into_bytes())
    }

    #[test]
    fn what_is_there_is_always_found_and_other_values_hardly_ever() {
        let key = AuditKey::generate(&SystemRandom).expect("random");
        for count in [1, 10, 300] {
            let values: BTreeSet<_> = (0..count).map(user).collect();
            let words = words(&key, &values);
            assert!((1 + words.len().next_power_of_two() / 2) == words.len(), "{} bytes", words.len());
            for (field, value) in &values {
                assert!(may_have(&words, word(&key, *field, value)));
            }
            let wrong = (count..count + 10_000).map(user);
            let wrong = wrong.filter(|(field, value)| may_have(&words, word(&key, *field, value))).count();
            assert!(wrong < 400, "{count} values: {wrong} of 10,000");
        }
    }

    #[test]
    fn words_say_nothing_under_another_key_and_unknown_ones_exclude_nothing() {
        let (key, other) = (
            AuditKey::generate(&SystemRandom).expect("random"),
            AuditKey::generate(&SystemRandom).expect("random"),
        );
        let values: BTreeSet<_> = (0..10).map(user).collect();
        assert_ne!(words(&key, &values), words(&other, &values));
        for unknown in [&[][..], &[1], &[2, 0, 0]] {
            assert!(may_have(unknown, word(&key, Field::User, b"u1")), "{unknown:?}");
        }
    }
}
