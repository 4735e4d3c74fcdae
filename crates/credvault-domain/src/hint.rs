//! Masked hints: enough of a secret for its owner to recognize it, too little to be of use to another reader.

/// Masks a secret as `ck_1…9f3a`: four characters at each end of 20 or more, two at each end of 12 or more, two at the
/// end of 8 or more. `None` for shorter ones and for texts that are not printable ASCII on one line (keys in PEM, JSON).
pub fn mask(secret: &str) -> Option<String> {
    if !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (head, tail) = match secret.len() {
        0..8 => return None,
        8..12 => (0, 2),
        12..20 => (2, 2),
        _ => (4, 4),
    };
    Some(format!("{}…{}", secret.get(..head)?, secret.get(secret.len() - tail..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_show_less_and_the_shortest_nothing() {
        assert_eq!(mask("ck_1234567890abcdef9f3a").as_deref(), Some("ck_1…9f3a"));
        assert_eq!(mask("abcdefghijkl").as_deref(), Some("ab…kl"));
        assert_eq!(mask("abcdefgh").as_deref(), Some("…gh"));
        assert_eq!(mask("abcdefg"), None);
        assert_eq!(mask(""), None);
    }

    #[test]
    fn texts_of_several_lines_or_other_letters_show_nothing() {
        assert_eq!(mask("-----BEGIN PRIVATE KEY-----\nabc"), None);
        assert_eq!(mask("pässwörtchen-lang-genug"), None);
        assert_eq!(mask(r#"{ "type": "service_account" }"#), None);
    }

    #[test]
    fn never_more_than_half_of_a_value_is_shown() {
        for length in 0..200 {
            let shown = mask(&"x".repeat(length)).map_or(0, |hint| hint.matches('x').count());
            assert!(shown * 2 <= length, "{length}");
        }
    }
}
