//! Signed notes, the form of C2SP signed-note: a text, an empty line, signature lines. Parses strictly and verifies nothing:
//! which keys count is up to [`crate::Trust`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Origin;

/// The most signatures of a note. The specification asks for at least 16.
const MAX_SIGNATURES: usize = 64;
/// The longest note, in bytes: room for as many signatures with keys of the next generation, 5 kB each.
const MAX_NOTE_BYTES: usize = 512 * 1024;
const KEY_ID_BYTES: usize = 4;

/// One signature line, of any algorithm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: Origin,
    /// The number of the key.
    pub key_id: u32,
    /// What the key's algorithm made.
    pub signature: Vec<u8>,
}

/// A text with its signatures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedNote {
    pub(crate) text: String,
    pub(crate) signatures: Vec<NoteSignature>,
}

/// Why a text is not a signed note.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoteError {
    /// The note is too long, or has too many signatures.
    #[error("a signed note must have at most 512 KiB and 64 signatures")]
    Size,
    /// There are control characters.
    #[error("a signed note must have no control characters but line breaks")]
    Control,
    /// Text and signatures are not where they belong.
    #[error("a signed note must be a text, an empty line and signature lines, each with its line break")]
    Layout,
    /// A line is not a signature.
    #[error(
        "a signature line must be: em dash, space, name of the key, space, Base64 of key id and signature"
    )]
    Signature,
}

impl NoteSignature {
    /// Parses signature lines, at least one, each with its line break.
    ///
    /// # Errors
    /// The rule that a line breaks.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        let lines = text.strip_suffix('\n').ok_or(NoteError::Layout)?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(NoteError::Size);
        }
        lines.split('\n').map(|line| Self::parse(line).ok_or(NoteError::Signature)).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (key_id, signature) = bytes.split_first_chunk::<KEY_ID_BYTES>()?;
        let signature = Some(signature.to_vec()).filter(|signature| !signature.is_empty())?;
        Some(Self { name: Origin::parse(name).ok()?, key_id: u32::from_be_bytes(*key_id), signature })
    }
}

impl SignedNote {
    /// Parses a note.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::Size);
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Control);
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Layout)?;
        Ok(Self { text: format!("{text}\n"), signatures: NoteSignature::parse_lines(signatures)? })
    }

    /// The text that is signed, with its last line break.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.to_be_bytes().as_slice(), &self.signature].concat();
        writeln!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VerifierKey;

    /// The example of C2SP signed-note.
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    #[test]
    fn the_example_of_the_specification_verifies() {
        let key: VerifierKey = KEY.parse().expect("a key");
        let note = SignedNote::parse(NOTE).expect("a note");
        let [signature] = note.signatures() else { panic!("one signature") };
        assert_eq!((signature.key_id, &signature.name), (key.id(), key.name()));
        assert!(key.verifies(note.text().as_bytes(), &signature.signature));
        assert!(!key.verifies(b"This is an example massage.\n", &signature.signature));
        assert_eq!(note.to_string(), NOTE);
        assert_eq!(key.to_string(), KEY);
    }

    #[test]
    fn keys_have_one_spelling() {
        for text in [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k ",
        ] {
            assert!(text.parse::<VerifierKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn notes_of_another_form_are_refused() {
        let line = NOTE.split_once("\n\n").expect("a note").1;
        let signatures = |count: usize| format!("a\n\n{}", line.repeat(count));
        assert_eq!(SignedNote::parse(&signatures(64)).expect("at the limit").signatures().len(), 64);
        let cases = [
            (signatures(65), NoteError::Size),
            (format!("{}\n\n{line}", "a".repeat(512 * 1024)), NoteError::Size),
            (format!("a\tb\n\n{line}"), NoteError::Control),
            (format!("a\r\n\n{line}"), NoteError::Control),
            (format!("a\n{line}"), NoteError::Layout),
            ("a\n\n".to_owned(), NoteError::Layout),
            (NOTE.trim_end().to_owned(), NoteError::Layout),
            (NOTE.replace('\u{2014}', "-"), NoteError::Signature),
            (NOTE.replace("example.com/foo", "example.com+foo"), NoteError::Signature),
            (NOTE.replace("example.com/foo", "\u{a0}"), NoteError::Signature),
            (NOTE.replace("aQM=", "aQM"), NoteError::Signature),
            ("a\n\n\u{2014} foo Uw2QOg==\n".to_owned(), NoteError::Signature),
            (format!("{NOTE}\n"), NoteError::Layout),
        ];
        for (note, error) in cases {
            assert_eq!(SignedNote::parse(&note), Err(error), "{:.80}", note);
        }
    }
}
