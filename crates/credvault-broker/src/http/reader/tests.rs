//! Answers in every dress that providers were seen to give them, read by the catalog's rules.

use std::io::Write as _;
use std::sync::LazyLock;

use credvault_catalog::{Catalog, Granted, RefusalKind};
use credvault_domain::{AuthMode, ProviderId, Timestamp};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;

const DAY: u64 = 24 * 3600;

/// What rules of a provider without quirks and without a default lifetime make of an answer.
fn tokens(status: u16, body: &Value) -> Result<Granted, RefusalKind> {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::load(None).expect("sound"));
    let provider = CATALOG.get(&ProviderId::parse("notion").expect("an id")).expect("known");
    let mode = provider.mode(&AuthMode::parse("oauth2_code").expect("a mode")).expect("known");
    mode.oauth().expect("tokens").response.read(status, body, Timestamp::default())
}

fn life(granted: &Granted) -> Option<Duration> {
    granted.expires.map(|end| Timestamp::default().until(end))
}

fn packed(dress: Packing, bytes: &[u8]) -> (Vec<u8>, &'static str) {
    let level = Compression::default();
    let sound = "memory takes everything";
    match dress {
        Packing::Plain => (bytes.to_vec(), ""),
        Packing::Identity => (bytes.to_vec(), "gzip"),
        Packing::Gzip | Packing::UntoldGzip => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).expect(sound);
            let told = if matches!(dress, Packing::Gzip) { "x-gzip" } else { "" };
            (encoder.finish().expect(sound), told)
        }
        Packing::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).expect(sound);
            (encoder.finish().expect(sound), "deflate")
        }
        Packing::Deflate => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).expect(sound);
            (encoder.finish().expect(sound), "Deflate")
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    /// The header stays, and a proxy has unpacked the body.
    Identity,
    Gzip,
    UntoldGzip,
    Zlib,
    Deflate,
}

fn packing() -> impl Strategy<Value = Packing> {
    use Packing::{Deflate, Gzip, Identity, Plain, UntoldGzip, Zlib};
    prop::sample::select(vec![Plain, Identity, Gzip, UntoldGzip, Zlib, Deflate])
}

/// A number of seconds in the ways that providers write it.
fn spelled(seconds: u32) -> impl Strategy<Value = Value> {
    let whole = f64::from(seconds);
    prop::sample::select(vec![
        json!(seconds),
        json!(whole),
        json!(seconds.to_string()),
        json!(format!("{whole:.1}")),
        json!(format!(" {seconds} ")),
        json!(format!("\t{whole:.3}\n")),
        json!(format!("+{seconds}")),
    ])
}

/// Characters of tokens that have no meaning of their own in JSON.
const TOKEN: &str = "[A-Za-z0-9._~+/=|&%:-]{1,60}";

proptest! {
    #[test]
    fn an_answer_is_read_in_every_dress(
        access in TOKEN,
        refresh in TOKEN,
        (seconds, lifetime) in (1_u32..100_000).prop_flat_map(|n| (Just(n), spelled(n))),
        mark in any::<bool>(),
        blanks in "[ \r\n\t]{0,3}",
        latin in any::<bool>(),
        packing in packing(),
    ) {
        let answer = json!({"access_token": access, "refresh_token": refresh, "expires_in": lifetime, "name": "@"});
        let mut bytes = if mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
        bytes.extend(format!("{blanks}{answer}{blanks}").into_bytes());
        if latin {
            // A letter of ISO 8859-1, which is no UTF-8.
            bytes.iter_mut().filter(|byte| **byte == b'@').for_each(|byte| *byte = 0xe9);
        }
        let (bytes, encoding) = packed(packing, &bytes);
        let read = tokens(200, &body(&bytes, encoding).expect("small")).expect("tokens");
        prop_assert_eq!(read.access_token.expose_secret(), &access);
        prop_assert_eq!(read.refresh_token.as_ref().expect("given").expose_secret(), &refresh);
        prop_assert_eq!(life(&read), Some(Duration::from_secs(seconds.into())));
    }

    #[test]
    fn a_form_is_read_whatever_it_is_called(
        access in TOKEN, seconds in 1_u32..100_000, mark in any::<bool>(), packing in packing(),
    ) {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("access_token", &access)
            .append_pair("expires_in", &seconds.to_string())
            .append_pair("scope", "a b")
            .finish();
        let text = format!("{}{form}\n", if mark { "\u{feff}" } else { "" });
        let (bytes, encoding) = packed(packing, text.as_bytes());
        let read = tokens(200, &body(&bytes, encoding).expect("small")).expect("tokens");
        prop_assert_eq!(read.access_token.expose_secret(), &access);
        prop_assert_eq!(life(&read), Some(Duration::from_secs(seconds.into())));
        prop_assert_eq!(read.scopes, Some(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn no_life_is_longer_than_was_said_and_none_that_is_named_is_for_ever(
        said in prop_oneof![
            any::<f64>().prop_filter("JSON", |n| n.is_finite()).prop_map(|n| json!(n)),
            any::<i64>().prop_map(|n| json!(n)),
            any::<u64>().prop_map(|n| json!(n)),
            "\\PC{0,12}".prop_map(|text| json!(text)),
            (0_u32..100_000).prop_flat_map(spelled),
            Just(json!(true)),
            Just(json!([3600])),
            Just(json!({"seconds": 3600})),
        ],
    ) {
        let read = tokens(200, &json!({"access_token": "t", "expires_in": said})).expect("tokens");
        let life = life(&read).expect("an end");
        prop_assert!(life <= Duration::from_secs(400 * DAY));
        let number = said.as_f64().or_else(|| said.as_str()?.trim().parse().ok());
        match number.filter(|number| number.is_finite() && *number > 0.0) {
            // Instants are kept in microseconds.
            Some(number) => prop_assert!(life.as_secs_f64() <= number + 1e-6, "{life:?} of {said}"),
            None => prop_assert_eq!(life, Duration::from_secs(3600)),
        }
    }

    #[test]
    fn bytes_without_sense_give_no_token_that_breaks_a_header(
        bytes in prop::collection::vec(any::<u8>(), 0..300), token in "\\PC{0,8}[\r\n\u{0}\u{7f}é]\\PC{0,8}",
        encoding in prop::sample::select(vec!["", "gzip", "deflate", "br"]),
    ) {
        prop_assert!(tokens(200, &body(&bytes, encoding).expect("small")).is_err());
        for broken in [json!({"access_token": token}), json!({"access_token": "t", "refresh_token": token})] {
            prop_assert_eq!(tokens(200, &broken).err(), Some(RefusalKind::Outage));
        }
    }

    #[test]
    fn a_pause_is_obeyed_to_the_fraction(millis in 0_u64..900_000) {
        let pause = Duration::from_millis(millis);
        let fraction = format!("{}.{:03}", millis / 1000, millis % 1000);
        let read = retry_after(&fraction, None).expect("a number");
        prop_assert!(read.abs_diff(pause) < Duration::from_micros(1));
        let whole = (millis / 1000).to_string();
        prop_assert_eq!(retry_after(&whole, None), Some(Duration::from_secs(millis / 1000)));
        prop_assert_eq!(retry_after(&format!(" {whole}.0 "), None), Some(Duration::from_secs(millis / 1000)));
    }
}

#[test]
fn the_limit_counts_what_is_unpacked() {
    let bomb = vec![b' '; MAX_BODY_BYTES + 1];
    assert!(body(&bomb[..MAX_BODY_BYTES], "").is_ok());
    for packing in [Packing::Gzip, Packing::UntoldGzip, Packing::Zlib, Packing::Deflate] {
        let (bytes, encoding) = packed(packing, &bomb);
        assert!(bytes.len() < 10_000);
        assert_eq!(body(&bytes, encoding), Err(TooLarge), "{packing:?}");
    }
}

#[test]
fn what_was_cut_and_what_is_a_page_is_no_answer() {
    let answer = json!({"access_token": "t", "expires_in": 3600}).to_string();
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zlib, Packing::Deflate] {
        let (bytes, encoding) = packed(packing, answer.as_bytes());
        for length in 0..bytes.len() {
            let read = body(&bytes[..length], encoding).expect("small");
            assert_eq!(tokens(200, &read).err(), Some(RefusalKind::Outage), "{packing:?}, {length} bytes");
        }
    }
    let pages = [
        "",
        "<!doctype html><title>a=b&c=d</title>",
        "Service unavailable. ref=1",
        "upstream=down\nretry=soon",
        "access_token=a&access_token=b",
        "access_token=a&<p>",
        "=a",
    ];
    for page in pages {
        assert_eq!(body(page.as_bytes(), "").expect("small"), Value::Null, "{page}");
    }
}

#[test]
fn a_date_counts_by_the_providers_own_clock() {
    let (now, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:47 GMT");
    assert_eq!(retry_after(later, Some(now)), Some(Duration::from_secs(10)));
    assert_eq!(retry_after(now, Some(later)), Some(Duration::ZERO));
    assert_eq!(retry_after(later, None), None);
    assert_eq!(retry_after("1e300", None), Some(MAX_RETRY_AFTER));
    for nothing in ["", "soon", "-1", "NaN"] {
        assert_eq!(retry_after(nothing, Some(now)), None, "{nothing}");
    }
}
