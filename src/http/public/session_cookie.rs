//! The cookie by which a browser is recognised on connect pages, and how the browser says what it asks for. It is another one
//! than that of consents, for it goes where the page is embedded.
//!
//! On a page of its own the cookie is `SameSite=Lax`. In a frame, which belongs to another site, only `SameSite=None` is sent;
//! with `Partitioned` it is kept for that one embedding site (CHIPS), so that no other site can have the browser send it, and
//! browsers that block the cookies of other sites keep it. A browser that keeps none notices before the session is opened.

use http::{HeaderMap, HeaderValue, header};

/// The longest value of a cookie that is looked at, in characters.
const MAX_VALUE_CHARS: usize = 128;
/// How long a browser keeps the cookie: as long as the longest session, and some time for what comes too late.
const MAX_AGE_SECONDS: u32 = 3600;

/// Whether the browser shows what it asks for in a frame of another page.
pub(super) fn is_framed(headers: &HeaderMap) -> bool {
    let destination = headers.get("sec-fetch-dest").map(HeaderValue::as_bytes);
    matches!(destination, Some(b"iframe" | b"frame" | b"embed" | b"object"))
}

/// Whether the browser asks for a page that the person has not opened yet. What works once must not be used up by that.
pub(super) fn is_prefetch(headers: &HeaderMap) -> bool {
    let purpose = headers.get("sec-purpose").or_else(|| headers.get("purpose"));
    purpose.is_some_and(|purpose| purpose.as_bytes().starts_with(b"prefetch"))
}

/// The value of this browser's cookie. `secure` tells whether browsers come by https.
pub(super) fn value(headers: &HeaderMap, secure: bool) -> Option<String> {
    let name = name(secure);
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, value)| *found == name && is_ours(value))?;
    Some(value.to_owned())
}

/// Whether a value has the form of those that the vault gives out: it becomes a part of a header again.
fn is_ours(value: &str) -> bool {
    value.len() <= MAX_VALUE_CHARS
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The header that gives a browser its cookie.
pub(super) fn header_value(value: &str, secure: bool, framed: bool) -> String {
    let place = match (secure, framed) {
        (true, true) => "; SameSite=None; Secure; Partitioned",
        (true, false) => "; SameSite=Lax; Secure",
        // Without TLS there is one machine only, whose ports are one site.
        (false, _) => "; SameSite=Lax",
    };
    format!("{}={value}; Path=/; Max-Age={MAX_AGE_SECONDS}; HttpOnly{place}", name(secure))
}

/// The prefix has browsers accept it from this very host by https only.
fn name(secure: bool) -> &'static str {
    if secure { "__Host-credvault-connect" } else { "credvault-connect" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::try_from(*value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_cookie_goes_to_no_script_and_no_other_site() {
        for framed in [false, true] {
            let cookie = header_value("CANARY", true, framed);
            assert!(cookie.starts_with("__Host-credvault-connect=CANARY; Path=/; "), "{cookie}");
            assert!(cookie.contains("; HttpOnly") && cookie.contains("; Secure"), "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
            // Only a cookie of one embedding site may be sent from a frame.
            assert_eq!(cookie.contains("SameSite=None"), framed);
            assert_eq!(cookie.contains("Partitioned"), framed);
        }
        let plain = header_value("CANARY", false, true);
        assert!(plain.contains("SameSite=Lax") && !plain.contains("Secure"), "{plain}");
    }

    #[test]
    fn only_our_own_cookie_is_read() {
        let sent = headers(&[("cookie", "credvault=other; __Host-credvault-connect=mine; x=y")]);
        assert_eq!(value(&sent, true).as_deref(), Some("mine"));
        assert_eq!(value(&sent, false), None);
        for wrong in ["a".repeat(129), "a;Domain=example.com".to_owned(), "a b".to_owned()] {
            let sent = format!("credvault-connect={wrong}");
            assert_eq!(value(&headers(&[("cookie", sent.as_str())]), false), None, "{wrong}");
        }
    }

    #[test]
    fn a_browser_says_where_and_when_it_shows_the_page() {
        assert!(is_framed(&headers(&[("sec-fetch-dest", "iframe")])));
        assert!(!is_framed(&headers(&[("sec-fetch-dest", "document")])));
        assert!(!is_framed(&HeaderMap::new()));
        assert!(is_prefetch(&headers(&[("sec-purpose", "prefetch;prerender")])));
        assert!(!is_prefetch(&HeaderMap::new()));
    }
}
