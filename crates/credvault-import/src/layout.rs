//! How the bytes of a sealed value stand in a column. None of the documents says it, so it is an option. A layout is
//! written as its encoding, a colon, and its parts:
//!
//! ```text
//! hex:iv:tag:ciphertext            000102…0b:ffee…00:9ab3…    each part in hexadecimal digits, a colon between them
//! base64:iv.tag.ciphertext         AAEC….//4A….mrM…           each part in base64, a full stop between them
//! base64:iv12+ciphertext+tag       AAECmrM//4A…               all bytes behind each other, then base64: iv of 12 bytes
//!
//! iv          12 or 16 bytes; within `+`, `iv12` or `iv16`
//! tag         16 bytes
//! ciphertext  the rest
//! ```

use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Padding is optional: programs differ.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// How bytes are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// Hexadecimal digits, of either case.
    Hex,
    /// Base64 of RFC 4648, section 4.
    Base64,
    /// Base64 of RFC 4648, section 5.
    Base64Url,
    /// The text's own UTF-8 bytes.
    Utf8,
}

impl Encoding {
    /// The bytes of a text. `None` if it is not written so. PostgreSQL's `\x` before hexadecimal digits is taken off.
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex(text.strip_prefix("\\x").unwrap_or(text)),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE.decode(text).ok(),
            Self::Utf8 => Some(text.as_bytes().to_vec()),
        }
    }
}

impl FromStr for Encoding {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        match text {
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            "base64url" => Ok(Self::Base64Url),
            "utf8" => Ok(Self::Utf8),
            _ => Err(LayoutError),
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// A layout is not written as layouts are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a layout must be hex, base64 or base64url, a colon, and iv, tag and ciphertext with `:`, `.` or `+` between them, \
     such as hex:iv:tag:ciphertext or base64:iv12+ciphertext+tag"
)]
pub struct LayoutError;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Nonce,
    Tag,
    Ciphertext,
}

/// How the bytes of a sealed value stand in a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// How the bytes are written.
    pub(crate) encoding: Encoding,
    separator: char,
    parts: [Part; 3],
    nonce_bytes: usize,
}

/// A sealed value in its parts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) nonce: Vec<u8>,
    pub(crate) tag: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            encoding: Encoding::Hex,
            separator: ':',
            parts: [Part::Nonce, Part::Tag, Part::Ciphertext],
            nonce_bytes: 12,
        }
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let (encoding, parts) = text.split_once(':').ok_or(LayoutError)?;
        let encoding: Encoding = encoding.parse()?;
        let separator = [':', '.', '+'].into_iter().find(|it| parts.contains(*it)).ok_or(LayoutError)?;
        let mut nonce_bytes = 12;
        let part = |name: &str| match name {
            "iv" | "iv12" => Ok(Part::Nonce),
            "iv16" => {
                nonce_bytes = 16;
                Ok(Part::Nonce)
            }
            "tag" => Ok(Part::Tag),
            "ciphertext" => Ok(Part::Ciphertext),
            _ => Err(LayoutError),
        };
        let parts: Vec<Part> = parts.split(separator).map(part).collect::<Result<_, _>>()?;
        let parts: [Part; 3] = parts.try_into().map_err(|_| LayoutError)?;
        let whole = [Part::Nonce, Part::Tag, Part::Ciphertext].iter().all(|part| parts.contains(part));
        if !whole || encoding == Encoding::Utf8 {
            return Err(LayoutError);
        }
        Ok(Self { encoding, separator, parts, nonce_bytes })
    }
}

impl Layout {
    /// Takes a sealed value apart. `None` if it is not of this layout.
    pub(crate) fn take_apart(&self, text: &str) -> Option<Parts> {
        if self.separator == '+' { self.cut(self.encoding.decode(text)?) } else { self.split(text) }
    }

    fn split(&self, text: &str) -> Option<Parts> {
        let pieces: Vec<&str> = text.split(self.separator).collect();
        let pieces: [&str; 3] = pieces.try_into().ok()?;
        let piece = |part| {
            let (_, piece) = self.parts.iter().zip(pieces).find(|(its, _)| **its == part)?;
            self.encoding.decode(piece)
        };
        Some(Parts {
            nonce: piece(Part::Nonce)?,
            tag: piece(Part::Tag)?,
            ciphertext: piece(Part::Ciphertext)?,
        })
    }

    fn cut(&self, mut bytes: Vec<u8>) -> Option<Parts> {
        const TAG_BYTES: usize = 16;
        let ciphertext = bytes.len().checked_sub(self.nonce_bytes + TAG_BYTES)?;
        let mut parts = Parts { nonce: Vec::new(), tag: Vec::new(), ciphertext: Vec::new() };
        for part in self.parts {
            let (length, place) = match part {
                Part::Nonce => (self.nonce_bytes, &mut parts.nonce),
                Part::Tag => (TAG_BYTES, &mut parts.tag),
                Part::Ciphertext => (ciphertext, &mut parts.ciphertext),
            };
            let rest = bytes.split_off(length);
            *place = std::mem::replace(&mut bytes, rest);
        }
        Some(parts)
    }
}

/// How many digits each part of a sealed value has at least.
const SEALED_PART_DIGITS: usize = 16;

/// Whether a text can only be a sealed value, of whatever layout: parts of hexadecimal digits with `:` or `.` between them.
pub(crate) fn looks_sealed(text: &str) -> bool {
    let sealed =
        |part: &str| part.len() >= SEALED_PART_DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.contains([':', '.']) && text.split([':', '.']).all(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_apart_as_its_layout_says() {
        let tag = [0xaa; 16];
        let joined = [&[0x01; 16][..], &[0xcc], &tag].concat();
        let forms = [
            ("hex:iv:tag:ciphertext", format!("{}:{}:CC", "01".repeat(16), "aa".repeat(16))),
            ("hex:ciphertext.iv.tag", format!("cc.{}.{}", "01".repeat(16), "aa".repeat(16))),
            ("base64:iv16+ciphertext+tag", STANDARD.encode(joined)),
        ];
        for (layout, text) in forms {
            let layout: Layout = layout.parse().expect("a layout");
            let parts = layout.take_apart(&text).expect("it is of this layout");
            assert_eq!((parts.nonce, parts.ciphertext), (vec![1; 16], vec![0xcc]));
            assert_eq!(parts.tag, tag);
        }
        let cut = "base64:iv12+tag+ciphertext".parse::<Layout>().expect("a layout");
        for short in ["", "AAAA", "%"] {
            assert!(cut.take_apart(short).is_none());
        }
        assert!(Layout::default().take_apart("00:11").is_none());
    }

    #[test]
    fn a_sealed_value_is_known_by_its_parts() {
        let part = "0123456789abcdef";
        assert!(looks_sealed(&format!("{part}:{part}")) && looks_sealed(&format!("{part}.{part}:{part}AB")));
        for plain in [part, "eyJhbGciOi.eyJzdWIi.c2ln", "0123:4567", "https://example.com"] {
            assert!(!looks_sealed(plain), "{plain}");
        }
    }

    #[test]
    fn what_is_no_layout_is_refused() {
        for text in
            ["", "hex", "hex:iv:tag", "hex:iv:iv:tag", "rot13:iv:tag:ciphertext", "utf8:iv:tag:ciphertext"]
        {
            assert_eq!(text.parse::<Layout>(), Err(LayoutError), "{text}");
        }
    }
}
