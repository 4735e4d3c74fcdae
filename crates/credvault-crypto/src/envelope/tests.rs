//! Frozen vectors, one test for each refusal, and properties of the envelope.

use std::collections::HashSet;

use credvault_domain::{ConnectionId, Exhausted, TenantId};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::SystemRandom;
use crate::context::{Binding, Class};

#[derive(Deserialize)]
struct Vector {
    name: String,
    class: String,
    key: String,
    key_id: u32,
    tenant: String,
    record: String,
    version: i64,
    facts: Vec<(String, String)>,
    salt: String,
    nonce: String,
    value: String,
    sealed: String,
}

/// Hands out prepared bytes once.
struct Prepared(Vec<u8>);

impl Random for Prepared {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted> {
        buffer.copy_from_slice(&self.0);
        Ok(())
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

/// The vectors come from `reference.py`, an implementation that shares nothing with this one.
#[test]
fn frozen_vectors_open_and_are_made_again_bit_by_bit() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../tests/vectors/format-1.json")).expect("json");
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let tenant = TenantId::from_stored(vector.tenant.clone());
        let record: [u8; 16] = hex(&vector.record).try_into().expect("16 bytes");
        let connection = ConnectionId::from_uuid(uuid_of(record));
        let version = u32::try_from(vector.version & 0xffff_ffff).expect("32 bits");
        let facts: Vec<_> =
            vector.facts.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let context = match vector.class.as_str() {
            "credential" => Context::credential(&tenant, connection, vector.version, 1, Binding::of(&facts)),
            "tenant_key" => Context::tenant_key(&tenant, version),
            "root_check" => Context::root_check(),
            _ => Context::page_token(&tenant, record),
        };
        let key: [u8; 32] = hex(&vector.key).try_into().expect("32 bytes");
        let random = Prepared([hex(&vector.salt), hex(&vector.nonce)].concat());
        let sealed = seal(&key, vector.key_id, &context, &hex(&vector.value), &random).expect("seals");
        assert_eq!(sealed, hex(&vector.sealed), "{}", vector.name);
        let opened = open(&key, vector.key_id, &context, &sealed).expect("opens");
        assert_eq!(opened.as_slice(), hex(&vector.value), "{}", vector.name);
    }
}

fn uuid_of(bytes: [u8; 16]) -> uuid::Uuid {
    uuid::Uuid::from_bytes(bytes)
}

const KEY: [u8; 32] = [7; 32];
const KEY_ID: u32 = 5;

fn bound(user: &str) -> Binding {
    Binding::of(&[("owner", b"user"), ("user", user.as_bytes())])
}

struct Place {
    tenant: TenantId,
    connection: ConnectionId,
}

impl Place {
    fn new() -> Self {
        let tenant = TenantId::parse("acme").expect("valid");
        Self { tenant, connection: ConnectionId::from_uuid(uuid_of([9; 16])) }
    }

    fn context(&self) -> Context<'_> {
        Context::credential(&self.tenant, self.connection, 3, 1, bound("u1"))
    }

    fn sealed(&self) -> Vec<u8> {
        seal(&KEY, KEY_ID, &self.context(), b"CANARY value", &SystemRandom).expect("seals")
    }
}

fn refused(key: &[u8; 32], key_id: u32, context: &Context<'_>, blob: &[u8]) -> bool {
    matches!(open(key, key_id, context, blob), Err(Error::Integrity))
}

#[test]
fn every_flipped_bit_is_refused() {
    let place = Place::new();
    let sealed = place.sealed();
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&KEY, KEY_ID, &place.context(), &altered), "bit {bit}");
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let place = Place::new();
    let sealed = place.sealed();
    for length in 0..sealed.len() {
        assert!(refused(&KEY, KEY_ID, &place.context(), &sealed[..length]), "first {length} bytes");
        assert!(
            refused(&KEY, KEY_ID, &place.context(), &sealed[sealed.len() - length..]),
            "last {length} bytes"
        );
    }
    for extra in 1..=16 {
        let longer = [sealed.as_slice(), &vec![0; extra]].concat();
        assert!(refused(&KEY, KEY_ID, &place.context(), &longer), "{extra} more bytes");
    }
}

#[test]
fn another_place_is_refused() {
    let place = Place::new();
    let sealed = place.sealed();
    let other = TenantId::parse("other").expect("valid");
    let elsewhere = ConnectionId::from_uuid(uuid_of([8; 16]));
    let contexts = [
        ("tenant", Context::credential(&other, place.connection, 3, 1, bound("u1"))),
        ("connection", Context::credential(&place.tenant, elsewhere, 3, 1, bound("u1"))),
        ("version", Context::credential(&place.tenant, place.connection, 4, 1, bound("u1"))),
        ("schema", Context::credential(&place.tenant, place.connection, 3, 2, bound("u1"))),
        ("binding", Context::credential(&place.tenant, place.connection, 3, 1, bound("u2"))),
        ("tokens", Context::tokens(&place.tenant, place.connection, 3, 1, bound("u1"))),
        ("class", Context::page_token(&place.tenant, [9; 16])),
    ];
    for (what, context) in contexts {
        assert!(refused(&KEY, KEY_ID, &context, &sealed), "{what}");
    }
    assert!(refused(&[8; 32], KEY_ID, &place.context(), &sealed), "key");
    assert!(refused(&KEY, KEY_ID + 1, &place.context(), &sealed), "key id");
}

/// A ciphertext made to be authentic under a second key (what AES-GCM alone would accept) fails the commitment.
#[test]
fn an_authentic_ciphertext_under_a_key_that_is_not_committed_to_is_refused() {
    let place = Place::new();
    let mut forged = seal(&[1; 32], KEY_ID, &place.context(), b"CANARY", &SystemRandom).expect("seals");
    let honest = place.sealed();
    // Put the honest key's commitment, which depends on the honest salt, in front of the other key's ciphertext.
    forged[SALT].copy_from_slice(&honest[SALT]);
    forged[COMMITMENT].copy_from_slice(&honest[COMMITMENT]);
    assert!(refused(&KEY, KEY_ID, &place.context(), &forged));
    assert!(refused(&[1; 32], KEY_ID, &place.context(), &forged));
}

#[test]
fn wrong_padding_and_wrong_lengths_are_refused_even_if_authentic() {
    assert!(value_length(&[0; 64], MAX_PADDED_BYTES).is_ok());
    assert!(value_length(&[0; 128], MAX_PADDED_BYTES).is_err(), "not the smallest step");
    assert!(value_length(&[0; 3], MAX_PADDED_BYTES).is_err(), "no room for a length");
    let mut body = [0; 64];
    body[63] = 1;
    assert!(value_length(&body, MAX_PADDED_BYTES).is_err(), "padding that is not zero");
    body[..4].copy_from_slice(&61_u32.to_be_bytes());
    assert!(value_length(&body, MAX_PADDED_BYTES).is_err(), "longer than the body");
    body[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(value_length(&body, MAX_PADDED_BYTES).is_err(), "overflow");
}

#[test]
fn values_up_to_68_kib_fit_and_larger_ones_do_not() {
    let place = Place::new();
    let largest = vec![1; MAX_PADDED_BYTES - LENGTH_BYTES];
    let random = SystemRandom;
    let sealed = seal(&KEY, KEY_ID, &place.context(), &largest, &random).expect("seals");
    assert_eq!(sealed.len(), MAX_SEALED_BYTES);
    assert_eq!(open(&KEY, KEY_ID, &place.context(), &sealed).expect("opens").as_slice(), largest);
    let larger = vec![1; MAX_PADDED_BYTES - LENGTH_BYTES + 1];
    assert!(matches!(seal(&KEY, KEY_ID, &place.context(), &larger, &random), Err(Error::TooLarge)));
    let smallest = seal(&KEY, KEY_ID, &place.context(), b"", &random).expect("seals");
    assert_eq!(smallest.len(), MIN_SEALED_BYTES);
}

#[test]
fn no_salt_or_nonce_is_used_twice() {
    let place = Place::new();
    let mut salts = HashSet::new();
    let mut nonces = HashSet::new();
    for _ in 0..10_000 {
        let sealed = place.sealed();
        assert!(salts.insert(sealed[SALT].to_vec()));
        assert!(nonces.insert(sealed[NONCE].to_vec()));
    }
}

#[test]
fn the_class_of_a_header_is_the_one_sealed_for() {
    assert_eq!(Place::new().sealed()[2], Class::Credential as u8);
}

proptest! {
    #[test]
    fn what_was_sealed_opens(value in prop::collection::vec(any::<u8>(), 0..6000)) {
        let place = Place::new();
        let sealed = seal(&KEY, KEY_ID, &place.context(), &value, &SystemRandom).expect("seals");
        let opened = open(&KEY, KEY_ID, &place.context(), &sealed).expect("opens");
        prop_assert_eq!(opened.as_slice(), value.as_slice());
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(blob in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(refused(&KEY, KEY_ID, &Place::new().context(), &blob));
    }

    /// Two different lists of facts never give the same binding, wherever their parts are cut.
    #[test]
    fn a_binding_is_injective(a in facts(), b in facts()) {
        let of = |facts: &[(String, String)]| {
            let facts: Vec<_> = facts.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            Binding::of(&facts)
        };
        prop_assert_eq!(a == b, of(&a) == of(&b));
    }

    /// Two different places never give the same associated data.
    #[test]
    fn associated_data_is_injective(a in place_parts(), b in place_parts()) {
        let data = |(tenant, record, version, schema): &(String, [u8; 16], i64, u16)| {
            let tenant = TenantId::from_stored(tenant.clone());
            Context::credential(&tenant, ConnectionId::from_uuid(uuid_of(*record)), *version, *schema, bound("")).associated_data(&[0; HEADER_BYTES])
        };
        prop_assert_eq!(a == b, data(&a) == data(&b));
    }
}

fn place_parts() -> impl Strategy<Value = (String, [u8; 16], i64, u16)> {
    ("[ab]{0,3}", prop::array::uniform16(0_u8..2), 0_i64..3, 0_u16..3)
}

fn facts() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3)
}
