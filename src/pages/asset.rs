//! Files that browsers load beside a page. The name of each holds a hash of its contents, so browsers may keep it for
//! ever: other contents have another name. The vault makes these files at its start and holds them in memory.

use axum::body::Bytes;

/// The folder in the address of every such file.
const FOLDER: &str = "/assets/";

/// How each kind of picture begins, with its ending and its content type.
const PICTURES: [(&[u8], &str, &str); 4] = [
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"\0\0\x01\0", "ico", "image/x-icon"),
    (b"RIFF", "webp", "image/webp"),
];

/// One file, ready to be served.
#[derive(Clone, Debug)]
pub(crate) struct Asset {
    stem: &'static str,
    ending: &'static str,
    /// The path in its address, such as `/assets/page-0123456789abcdef.css`.
    pub(crate) path: String,
    /// The value of its header `Content-Type`.
    pub(crate) content_type: &'static str,
    /// What the file holds.
    pub(crate) bytes: Bytes,
}

impl Asset {
    /// A file of these contents.
    pub(crate) fn new(
        stem: &'static str,
        ending: &'static str,
        content_type: &'static str,
        bytes: impl Into<Bytes>,
    ) -> Self {
        let bytes = bytes.into();
        let [one, two, three, four, five, six, seven, eight, ..] = credvault_crypto::sha256(&[&bytes]);
        let hash = u64::from_be_bytes([one, two, three, four, five, six, seven, eight]);
        Self { stem, ending, path: format!("{FOLDER}{stem}-{hash:016x}.{ending}"), content_type, bytes }
    }

    /// A picture, whose kind shows in its contents; `None` if it is of no kind that all browsers know.
    pub(crate) fn picture(stem: &'static str, bytes: Vec<u8>) -> Option<Self> {
        let known = PICTURES.iter().find(|(head, ..)| bytes.starts_with(head));
        let (ending, content_type) = match known {
            Some((_, "webp", _)) if bytes.get(8..12) != Some(&b"WEBP"[..]) => return None,
            Some((_, ending, content_type)) => (*ending, *content_type),
            None if is_svg(&bytes) => ("svg", "image/svg+xml"),
            None => return None,
        };
        Some(Self::new(stem, ending, content_type, bytes))
    }

    /// Whether `file`, a name without its folder, asks for this file in these or in other contents: replicas of two
    /// releases name different ones while the vault is upgraded.
    pub(super) fn answers(&self, file: &str) -> bool {
        let hash = file.strip_prefix(self.stem).and_then(|rest| rest.strip_prefix('-'));
        let hash =
            hash.and_then(|rest| rest.strip_suffix(self.ending)).and_then(|rest| rest.strip_suffix('.'));
        hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// Whether `file`, a name without its folder, is this file's own, with the hash of its contents.
    pub(crate) fn is_named(&self, file: &str) -> bool {
        self.path.strip_prefix(FOLDER) == Some(file)
    }
}

/// Whether a text is a drawing. Browsers run no script in it where it is shown as a picture.
fn is_svg(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with("<svg") || (text.starts_with("<?xml") && text.contains("<svg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_holds_a_hash_of_the_contents() {
        let one = Asset::new("page", "css", "text/css", "a{}");
        let other = Asset::new("page", "css", "text/css", "b{}");
        assert_ne!(one.path, other.path);
        let (own, others) = (one.path.replace(FOLDER, ""), other.path.replace(FOLDER, ""));
        assert!(one.is_named(&own) && one.answers(&own));
        assert!(!one.is_named(&others) && one.answers(&others));
        for file in
            ["page.css", "page-.css", "page-0123456789abcdef.js", "page-0123456789abcdeg.css", "../page.css"]
        {
            assert!(!one.answers(file), "{file}");
        }
    }

    #[test]
    fn a_picture_is_known_by_its_contents() {
        let ending = |bytes: &[u8]| Asset::picture("logo", bytes.to_vec()).map(|asset| asset.ending);
        assert_eq!(ending(b"\x89PNG\r\n\x1a\n..."), Some("png"));
        assert_eq!(ending(b"\xff\xd8\xff\xe0"), Some("jpg"));
        assert_eq!(ending(b"RIFF\0\0\0\0WEBPVP8 "), Some("webp"));
        assert_eq!(ending(b"RIFF\0\0\0\0WAVEfmt "), None);
        assert_eq!(ending("\u{feff}\n<svg xmlns='x'/>".as_bytes()), Some("svg"));
        assert_eq!(ending(b"<?xml version='1.0'?><svg/>"), Some("svg"));
        for other in
            [&b""[..], b"GIF89a", b"<html><svg/></html>", b"<?xml version='1.0'?><html/>", b"\xff\xfe<svg"]
        {
            assert_eq!(ending(other), None, "{other:?}");
        }
    }
}
