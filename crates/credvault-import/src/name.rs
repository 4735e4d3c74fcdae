//! Names of columns and members, compared as people mean them: `refreshToken`, `refresh_token` and `REFRESH_TOKEN` are one.

/// A name without case and separators.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// A name for a message: as it is if it can only be a name, and not a secret in the wrong place.
pub(crate) fn shown(name: &str) -> &str {
    let letters = |c: char| c.is_ascii_alphabetic() || c == '_';
    if name.len() <= 32 && !name.is_empty() && name.chars().all(letters) { name } else { "(not shown)" }
}

/// The same of a path of names, such as `team.id`.
pub(crate) fn shown_path(path: &str) -> String {
    path.split('.').map(shown).collect::<Vec<_>>().join(".")
}

/// The longest id of a row.
const MAX_ID_BYTES: usize = 64;

/// Whether a text can be the id of a row. Ids are printed and become labels, so a secret in the wrong column must not pass.
pub(crate) fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@/-".contains(&byte);
    !text.is_empty() && text.len() <= MAX_ID_BYTES && text.bytes().all(fits)
}

/// Whether a text can be the name of a variable of an environment.
pub fn is_variable(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(fits) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_people_mean_them() {
        for name in ["refreshToken", "refresh_token", "REFRESH_TOKEN", "refresh-token"] {
            assert_eq!(plain(name), "refreshtoken");
        }
        assert_eq!(shown("webhookSecret"), "webhookSecret");
        assert_eq!(shown("ck_0123"), "(not shown)");
        assert_eq!(shown_path("authed_user.access_token"), "authed_user.access_token");
        assert_eq!(shown_path("team.ck_0123"), "team.(not shown)");
    }

    #[test]
    fn ids_and_variables_are_plain() {
        assert!(is_id("00000000-0000-4000-8000-000000000100") && is_id("a:b/c.d@e_f-1"));
        for wrong in ["", "a b", "a=b", "sealed+value", &"x".repeat(65)] {
            assert!(!is_id(wrong), "{wrong}");
        }
        assert!(is_variable("ENCRYPTION_KEY") && is_variable("_a1"));
        for wrong in ["", "1a", "a=b", "a-b", "a b"] {
            assert!(!is_variable(wrong), "{wrong}");
        }
    }
}
