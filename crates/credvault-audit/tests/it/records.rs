//! Records and their bytes: one spelling, forever the same.

use credvault_audit::{Blinding, Entry, MAX_RECORD_BYTES, Record, RecordBytes, RecordError, RecordTooLong};
use credvault_domain::{
    Action, AuditEvent, AuditOutcome, ConnectionId, ProviderId, Purpose, Reason, ServiceId, TenantId,
    TenantSource, Timestamp, TraceId, UserId,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::support::record;

fn event() -> AuditEvent {
    AuditEvent {
        id: Uuid::from_u128(1),
        time: Timestamp::from_micros(1_764_230_400_000_001),
        service: Some(ServiceId::parse("spiffe://example.org/sync").expect("an id")),
        user: Some(UserId::parse("user_2abC").expect("an id")),
        tenant_source: TenantSource::Assertion,
        connection: Some(ConnectionId::from_uuid(Uuid::from_u128(2))),
        owner_user: Some(UserId::parse("owner").expect("an id")),
        provider: Some(ProviderId::parse("shopify").expect("an id")),
        version: Some(3),
        purpose: Some(Purpose::parse("nightly sync").expect("a purpose")),
        changed: Vec::from(["scopes".to_owned(), String::new()]),
        released: Vec::from(["refresh_token".to_owned()]),
        outcome: AuditOutcome::Failed,
        reason: Some(Reason::PolicyDenied),
        policies: Vec::from(["p1".to_owned()]),
        trace: TraceId::from_bytes([9; 16]),
        source_address: Some("2001:db8::7".parse().expect("an address")),
        ..AuditEvent::of(TenantId::parse("acme").expect("an id"), Action::FetchCredential)
    }
}

#[test]
fn events_survive_the_log() {
    let empty = AuditEvent::of(TenantId::platform(), Action::FetchCredential);
    let own = AuditEvent { service: Some(ServiceId::vault()), ..empty.clone() };
    for event in [event(), empty, own] {
        let bytes = Record::from(&event).encode().expect("short");
        let record = Record::decode(&bytes).expect("a record");
        assert_eq!(AuditEvent::try_from(record), Ok(event));
    }
}

#[test]
fn names_of_another_vault_are_read_but_are_no_events_here() {
    let event = event();
    let later = Record { action: "TeleportCredential".into(), ..Record::from(&event) };
    let bytes = later.encode().expect("short");
    assert_eq!(Record::decode(&bytes), Ok(later.clone()));
    assert_eq!(AuditEvent::try_from(later), Err(RecordError::Unknown("action")));
    let reason = Record { reason: Some("BAD_MOON".into()), ..Record::from(&event) };
    assert_eq!(AuditEvent::try_from(reason), Err(RecordError::Unknown("reason")));
}

#[test]
fn the_layout_is_the_documented_one() {
    let event = AuditEvent {
        version: Some(3),
        changed: Vec::from(["a".to_owned()]),
        ..AuditEvent::of(TenantId::parse("t").expect("an id"), Action::FetchCredential)
    };
    let expected = [
        &[1, 0b0000_0000, 0b0010_0000][..],
        &[0; 16 + 8 + 16],
        b"\0\x01t\0\x04none\0\x0fFetchCredential\0\x02OK",
        &[0, 0, 0, 0, 0, 0, 0, 3],
        b"\0\x01\0\x01a\0\0\0\0",
    ]
    .concat();
    assert_eq!(Record::from(&event).encode().expect("short").as_slice(), expected);
}

#[test]
fn other_bytes_are_refused() {
    let bytes = Record::from(&event()).encode().expect("short").into_vec();
    let decode = |bytes: Vec<u8>| {
        let bytes = RecordBytes::new(bytes).expect("short");
        Record::decode(&bytes).map(|record| record.encode().expect("short"))
    };
    for length in 0..bytes.len() {
        assert!(decode(bytes[..length].to_vec()).is_err(), "cut to {length} bytes");
    }
    assert_eq!(decode([bytes.as_slice(), &[0]].concat()), Err(RecordError::Layout));
    for (at, byte, error) in
        [(0, 0, RecordError::Version), (0, 2, RecordError::Version), (1, 0b10, RecordError::Layout)]
    {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        assert_eq!(decode(bytes), Err(error));
    }
    // No altered bit goes unnoticed: what decodes still has its own bytes.
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(again) = decode(bytes.clone()) {
            assert_eq!(again.as_slice(), bytes, "bit {bit}");
        }
    }
}

#[test]
fn a_record_that_does_not_fit_is_refused_alone() {
    let long = Record { changed: Vec::from(["x".repeat(65_000).into()]), ..record(1) };
    assert!(long.encode().expect("it fits").as_slice().len() <= MAX_RECORD_BYTES);
    let longer = Record { changed: Vec::from(["x".repeat(65_535).into()]), ..record(1) };
    assert_eq!(longer.encode(), Err(RecordTooLong));
    let longest = Record { purpose: Some("x".repeat(65_536).into()), ..record(1) };
    assert_eq!(longest.encode(), Err(RecordTooLong));
    let many = Record { policies: Vec::from_iter((0..70_000).map(|_| "".into())), ..record(1) };
    assert_eq!(many.encode(), Err(RecordTooLong));
}

#[test]
fn a_leaf_is_bound_to_the_record_and_hidden_by_its_blinding() {
    let entry = |blinding: u8, index| Entry {
        blinding: Blinding::from_bytes([blinding; 32]),
        record: record(index).encode().expect("short"),
    };
    assert_eq!(entry(1, 1).leaf(), entry(1, 1).leaf());
    assert_ne!(entry(1, 1).leaf(), entry(1, 2).leaf());
    assert_ne!(entry(1, 1).leaf(), entry(2, 1).leaf());
    assert_eq!(Entry::from_bytes(&entry(1, 1).to_bytes()), Ok(entry(1, 1)));
    assert!(Entry::from_bytes(&[0; 31]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        bytes.insert(0, 1);
        let bytes = RecordBytes::new(bytes).expect("short");
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(record.encode(), Ok(bytes.clone()));
        }
    }
}
