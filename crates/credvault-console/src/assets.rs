//! Style, script and icon, which the program carries in itself. Their addresses name their content, so browsers may keep
//! them for good.

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/console.svg");

const STYLE_HASH: u64 = hash(STYLE.as_bytes());
const SCRIPT_HASH: u64 = hash(SCRIPT.as_bytes());
const ICON_HASH: u64 = hash(ICON.as_bytes());

/// FNV-1a with 64 bits: it tells releases apart and protects nothing.
const fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// The address of the style.
pub(crate) fn style() -> String {
    format!("/assets/{}", style_name())
}

/// The address of the script.
pub(crate) fn script() -> String {
    format!("/assets/{}", script_name())
}

/// The address of the icon.
pub(crate) fn icon() -> String {
    format!("/assets/{}", icon_name())
}

fn style_name() -> String {
    format!("console.{STYLE_HASH:016x}.css")
}

fn script_name() -> String {
    format!("console.{SCRIPT_HASH:016x}.js")
}

fn icon_name() -> String {
    format!("console.{ICON_HASH:016x}.svg")
}

/// Answers with the asset of this name, or with 404.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, content) = if name == style_name() {
        ("text/css; charset=utf-8", STYLE)
    } else if name == script_name() {
        ("text/javascript; charset=utf-8", SCRIPT)
    } else if name == icon_name() {
        ("image/svg+xml", ICON)
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=31536000, immutable")];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the algorithm's own page: FNV-1a of "foobar".
    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
        assert!(style() != script() && style().ends_with(".css"));
    }
}
