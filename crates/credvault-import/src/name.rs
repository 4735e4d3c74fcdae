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
    }
}
