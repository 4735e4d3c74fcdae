//! Reads the bodies of all answers, and tolerates what providers do wrong: a byte order mark, compression that the request did
//! not ask for, form-encoding in place of JSON, and stray bytes in texts. The catalog knows what a body means.

use std::borrow::Cow;
use std::io::Read;
use std::time::Duration;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The largest body in bytes, both compressed and decompressed.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The longest pause that a provider can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// A body of more than [`MAX_BODY_BYTES`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is larger than 1 MiB")]
pub(crate) struct TooLarge;

/// The body as JSON. A form becomes an object of texts; a body that is neither becomes null. `encoding` is the header
/// `Content-Encoding`. The media type is not considered: some providers send tokens as `text/html`.
///
/// # Errors
/// The body is too large.
pub(crate) fn body(bytes: &[u8], encoding: &str) -> Result<Value, TooLarge> {
    let Some(bytes) = unpacked(bytes, encoding)? else { return Ok(Value::Null) };
    // Tokens are ASCII. A name in another encoding beside them must not make the body unreadable.
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let text = text.trim_start_matches('\u{feff}').trim();
    Ok(serde_json::from_str(text).unwrap_or_else(|_| form(text).unwrap_or_default()))
}

/// The body without compression; `None` if it cannot be decompressed, for example because it was cut off. A proxy that
/// decompresses may leave the header, so the bytes decide if they can.
fn unpacked<'b>(bytes: &'b [u8], encoding: &str) -> Result<Option<Cow<'b, [u8]>>, TooLarge> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(whole(MultiGzDecoder::new(bytes))?.map(Cow::Owned));
    }
    if encoding.to_ascii_lowercase().contains("deflate") {
        // RFC 9110, section 8.4.1.2: with zlib's frame, but some servers leave the frame out.
        let framed = whole(ZlibDecoder::new(bytes))?;
        let bare = if framed.is_none() { whole(DeflateDecoder::new(bytes))? } else { None };
        return Ok(Some(framed.or(bare).map_or(Cow::Borrowed(bytes), Cow::Owned)));
    }
    Ok(Some(Cow::Borrowed(bytes)))
}

/// Decompresses all of `packed`; `None` if it is broken.
fn whole(packed: impl Read) -> Result<Option<Vec<u8>>, TooLarge> {
    let mut bytes = Vec::new();
    match packed.take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut bytes) {
        _ if bytes.len() > MAX_BODY_BYTES => Err(TooLarge),
        Ok(_) => Ok(Some(bytes)),
        Err(_) => Ok(None),
    }
}

/// `access_token=…&expires_in=3600` as an object of texts. Prose and pages are not forms, and neither is a body that gives
/// one name two different values, because it is not known which of them counts.
fn form(text: &str) -> Option<Value> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
    let mut members = Map::new();
    for pair in text.split('&') {
        let (name, _) = pair.split_once('=')?;
        if name.is_empty() || !name.chars().all(plain) || pair.contains(['<', '\n']) {
            return None;
        }
        let (name, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
        let value = Value::String(value.into_owned());
        if members.insert(name.into_owned(), value.clone()).is_some_and(|earlier| earlier != value) {
            return None;
        }
    }
    Some(Value::Object(members))
}

/// The pause that `Retry-After` asks for, at most [`MAX_RETRY_AFTER`]. Its value is a number of seconds, which may have a
/// fraction, or an HTTP date by the provider's own clock, which its header `Date` shows.
pub(crate) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())));
    }
    let until = httpdate::parse_http_date(value.trim()).ok()?;
    let now = httpdate::parse_http_date(date?).ok()?;
    Some(until.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
