//! `docs/provider-files.md`, the reference for authors of provider files: it names every key and value that the loader
//! accepts and no other, its example loads, and its grammar names every value of a flow.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::{Deserializer, Visitor, value::Error};
use serde::forward_to_deserialize_any;

use super::*;
use crate::call::Method;
use crate::field::{DependsOn, FieldKind};
use crate::load::file::call::{BasicFile, CallFile, ConditionFile, RevokeFile, TestFile};
use crate::load::file::field::{ClaimFile, DerivedFile, FieldFile, HmacFile, LookupFile, PartFile, WhenFile};
use crate::load::file::rotation::{MintFile, RotationFile};
use crate::load::file::tokens::{
    AssertionFile, AuthorizeFile, DeliveryCallbackFile, DeliveryFile, DiscoveryFile, PostExchangeFile,
    RefreshFile, ScopesFile, TokenResponseFile,
};
use crate::load::file::webhook::{
    DeliveryAccountFile, HandshakeFile, HandshakeTokenFile, PublicKeysFile, WebhookFile,
};
use crate::load::file::{ModeFile, RequestFile};
use crate::mode::{Doubts, ModeKind};
use crate::oauth::{CallbackSignature, Rotation};
use crate::provider::{AppField, AppFieldKind, RateLimit};
use crate::spelling::Spelling;
use crate::template::FLOW;
use crate::webhook::keys::KeyEncoding;
use crate::webhook::{Encoding, Scheme, TimestampForm};

const PAGE: &str = include_str!("../../../../../docs/provider-files.md");

/// A deserializer that has no input: it notes the keys of a struct, or the values of an enum, and fails.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = keys;
        Err(serde::de::Error::custom("no input"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        values: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = values;
        Err(serde::de::Error::custom("no input"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("no struct and no enum"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The keys that the struct `T` accepts, or the values that the enum `T` has.
fn names<T: Deserialize<'static>>() -> BTreeSet<&'static str> {
    let mut names: &'static [&'static str] = &[];
    T::deserialize(Names(&mut names)).err().expect("there is no input");
    assert!(!names.is_empty(), "{}", std::any::type_name::<T>());
    names.iter().copied().collect()
}

/// The keys that the page's tables describe, by heading, each with the column for its type.
fn described() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut tables: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut heading = "";
    for line in PAGE.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        }
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let (Some(key), Some(kind), Some(_), Some(meaning)) =
            (cells.next(), cells.next(), cells.next(), cells.next())
        else {
            continue;
        };
        if let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`')) {
            assert!(meaning.split(' ').count() >= 3, "{heading}: {key} has no meaning");
            let before = tables.entry(heading).or_default().insert(key, kind);
            assert!(before.is_none(), "{heading}: {key} is there twice");
        }
    }
    tables
}

#[test]
fn the_page_has_a_line_for_every_key_and_no_other() {
    let accepted = [
        ("The file itself", names::<ProviderFile>()),
        ("rate_limit", names::<RateLimit>()),
        ("Config and secret fields", names::<FieldFile>()),
        ("depends_on", names::<DependsOn>()),
        ("Derived values", names::<DerivedFile>()),
        ("lookup", names::<LookupFile>()),
        ("hmac", names::<HmacFile>()),
        ("when", names::<WhenFile>()),
        ("part", names::<PartFile>()),
        ("claim", names::<ClaimFile>()),
        ("App values", names::<AppField>()),
        ("Modes", names::<ModeFile>()),
        ("unconfirmed", names::<Doubts>()),
        ("request", names::<RequestFile>()),
        ("Calls", names::<CallFile>()),
        ("basic", names::<BasicFile>()),
        ("scopes", names::<ScopesFile>()),
        ("discovery", names::<DiscoveryFile>()),
        ("authorize", names::<AuthorizeFile>()),
        ("delivery", names::<DeliveryFile>()),
        ("callback", names::<DeliveryCallbackFile>()),
        ("post_exchange", names::<PostExchangeFile>()),
        ("refresh", names::<RefreshFile>()),
        ("assertion", names::<AssertionFile>()),
        ("token_response", names::<TokenResponseFile>()),
        ("revoke", names::<RevokeFile>()),
        ("test", names::<TestFile>()),
        ("rotation", names::<RotationFile>()),
        ("mint", names::<MintFile>()),
        ("Conditions", names::<ConditionFile>()),
        ("Webhooks", names::<WebhookFile>()),
        ("public_keys", names::<PublicKeysFile>()),
        ("accounts", names::<DeliveryAccountFile>()),
        ("handshakes", names::<HandshakeFile>()),
        ("token", names::<HandshakeTokenFile>()),
    ];
    let described = described();
    for (heading, keys) in &accepted {
        let on_page: BTreeSet<_> = described.get(heading).expect(heading).keys().copied().collect();
        assert_eq!(on_page, *keys, "docs/provider-files.md, {heading}");
    }
    let headings: BTreeSet<_> = accepted.iter().map(|(heading, _)| *heading).collect();
    assert_eq!(described.keys().copied().collect::<BTreeSet<_>>(), headings, "tables of the page");
}

#[test]
fn the_page_has_every_value_of_a_key_that_takes_few() {
    let values = [
        ("Config and secret fields", "type", names::<FieldKind>()),
        ("Config and secret fields", "spelling", names::<Spelling>()),
        ("App values", "type", names::<AppFieldKind>()),
        ("Modes", "kind", names::<ModeKind>()),
        ("Calls", "method", names::<Method>()),
        ("authorize", "signature", names::<CallbackSignature>()),
        ("refresh", "rotates", names::<Rotation>()),
        ("Webhooks", "scheme", names::<Scheme>()),
        ("Webhooks", "signature_encoding", names::<Encoding>()),
        ("Webhooks", "timestamp_format", names::<TimestampForm>()),
        ("Webhooks", "key_encoding", names::<KeyEncoding>()),
        ("handshakes", "method", names::<Method>()),
    ];
    let described = described();
    for (heading, key, values) in values {
        let kind = described[heading][key];
        let on_page: BTreeSet<_> = kind.split(", ").map(|value| value.trim_matches('`')).collect();
        assert_eq!(on_page, values, "docs/provider-files.md, {heading}: {key}");
    }
}

fn block(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n```{language}\n")).expect(language);
    rest.split_once("\n```").expect("an end").0
}

/// The keys of all tables in a TOML value, at any depth.
fn keys_in(value: &toml::Value, keys: &mut BTreeSet<String>) {
    if let Some(table) = value.as_table() {
        keys.extend(table.keys().cloned());
        table.values().for_each(|value| keys_in(value, keys));
    }
    value.as_array().into_iter().flatten().for_each(|item| keys_in(item, keys));
}

#[test]
fn the_example_loads_and_uses_every_table() {
    let text = block("toml");
    let provider = parse("acme.toml", text).expect("the example is sound");
    assert_eq!((provider.modes().count(), provider.webhooks.len()), (4, 2));
    let mut used = BTreeSet::new();
    keys_in(&toml::Value::Table(text.parse().expect("TOML")), &mut used);
    let described = described();
    let tables = described.values().flatten().filter(|(_, kind)| kind.contains("](#"));
    let unused: Vec<_> = tables.map(|(key, _)| *key).filter(|key| !used.contains(*key)).collect();
    assert!(unused.is_empty(), "the example uses no {unused:?}");
    let tests: BTreeSet<_> = names::<ConditionFile>().into_iter().filter(|key| *key != "absent").collect();
    assert!(tests.iter().all(|key| used.contains(*key)), "{tests:?}");
}

#[test]
fn the_grammar_and_the_placeholders_name_every_value_of_a_flow() {
    let grammar = block("ebnf");
    for name in FLOW {
        assert!(grammar.contains(&format!("\"{name}\"")), "the grammar lacks {name}");
        assert!(PAGE.contains(&format!("`{{flow.{name}}}`")), "the placeholders lack {name}");
    }
}
