//! Tags open for the tenant that got them, under the key that made them, and in no other case.

use credvault_domain::TenantId;
use zeroize::Zeroizing;

use super::{TAG_CHARS, Tag, Tagged};
use crate::TenantKey;

const TAGGED: Tagged = Tagged { connection: [7; 16], version: 3, generation: 41 };
/// Computed with Python's hmac module from the layout in the file's header: a changed format must be a new one.
const FROZEN: &str = "AQAAAAACgK-7p3SvQNtdtLI1zaBXSTHFQg4B5D1-Zg1NiqKJYeW1EpAySbmHqhJEhGukIzl-";

fn key(version: u32, byte: u8) -> TenantKey {
    TenantKey::new(version, Box::new(Zeroizing::new([byte; 32])))
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a tenant's id")
}

#[test]
fn a_tag_says_the_same_whenever_it_is_made() {
    let (key, acme) = (key(2, 9), tenant("acme"));
    let text = key.tag(&acme, false, TAGGED);
    assert_eq!(text, FROZEN);
    assert_eq!(text.len(), TAG_CHARS);
    let tag = Tag::parse(&text).expect("a tag");
    assert_eq!((tag.of_platform(), tag.key_version()), (false, 2));
    assert_eq!(tag.open(&key, &acme), Some(TAGGED));
    let platforms = Tag::parse(&key.tag(&acme, true, TAGGED)).expect("a tag");
    assert!(platforms.of_platform());
    assert_eq!(platforms.open(&key, &acme), Some(TAGGED));
}

#[test]
fn a_tag_opens_for_no_other_tenant_and_under_no_other_key() {
    let acme = tenant("acme");
    let tag = Tag::parse(&key(2, 9).tag(&acme, false, TAGGED)).expect("a tag");
    assert_eq!(tag.open(&key(2, 9), &tenant("acm")), None);
    assert_eq!(tag.open(&key(2, 9), &tenant("acme2")), None);
    assert_eq!(tag.open(&key(2, 8), &acme), None, "another key of the same number");
    assert_eq!(tag.open(&key(3, 9), &acme), None, "the same key under another number");
}

#[test]
fn every_altered_character_is_noticed() {
    let (key, acme) = (key(2, 9), tenant("acme"));
    let text = key.tag(&acme, false, TAGGED);
    for at in 0..text.len() {
        for other in ['A', 'Z', '_', '='] {
            let mut altered: Vec<char> = text.chars().collect();
            if std::mem::replace(&mut altered[at], other) == other {
                continue;
            }
            let altered: String = altered.into_iter().collect();
            assert_eq!(Tag::parse(&altered).and_then(|tag| tag.open(&key, &acme)), None, "{at}");
        }
    }
    for malformed in ["", "tag", &text[1..], &format!("{text}A"), &"é".repeat(36)] {
        assert_eq!(Tag::parse(malformed), None, "{malformed}");
    }
}

#[test]
fn a_tag_shows_nothing_of_what_it_is_of() {
    let (key, acme) = (key(1, 9), tenant("acme"));
    let one = key.tag(&acme, false, TAGGED);
    let other = key.tag(&acme, false, Tagged { generation: 42, ..TAGGED });
    // Only the header is the same: eight characters hold its six bytes.
    let common = one.bytes().zip(other.bytes()).take_while(|(left, right)| left == right).count();
    assert!((8..16).contains(&common), "{common}");
}
