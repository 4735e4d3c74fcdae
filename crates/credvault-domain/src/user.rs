//! Users of a tenant, known to the vault by id only.

use crate::NameError;
use crate::name::names;

/// The longest id of a user, in bytes.
const MAX_USER_ID_BYTES: usize = 128;

/// Checks the rule of ids: 1 to 128 printable ASCII characters, no blank at either end, which a header would lose.
fn check(text: &str) -> Result<(), NameError> {
    let printable = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
    if (1..=MAX_USER_ID_BYTES).contains(&text.len()) && printable && text.trim() == text {
        Ok(())
    } else {
        Err(NameError("must be 1 to 128 printable ASCII characters without a blank at either end"))
    }
}

names! {
    check, "an id that came from outside: 1 to 128 printable ASCII characters, no blank at either end";
    /// A user's id within a tenant. It is opaque.
    UserId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printable_ascii() {
        for text in ["user_2abC", "a b", "x@y.z", &"x".repeat(128)] {
            assert!(UserId::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", " a", "a ", "é", "a\n", "a\u{7f}", &"x".repeat(129)] {
            assert!(UserId::parse(text).is_err(), "{text:?}");
        }
    }
}
