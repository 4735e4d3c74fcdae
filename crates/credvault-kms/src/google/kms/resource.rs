//! Names of keys and versions: what is wrong with them is found when settings are read.

use credvault_crypto::KeyManagerError;

/// What stands before each part of a key's name.
const COLLECTIONS: [&str; 4] = ["projects", "locations", "keyRings", "cryptoKeys"];

const MAX_NAME_BYTES: usize = 512;

pub(super) fn check_key(name: &str) -> Result<(), KeyManagerError> {
    let parts: Vec<_> = name.split('/').collect();
    let collections = parts.iter().step_by(2).copied();
    let in_order = parts.len() == 2 * COLLECTIONS.len() && collections.eq(COLLECTIONS);
    // A project's id may have a domain before it: `example.com:project`.
    let plain = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    if in_order && name.len() <= MAX_NAME_BYTES && parts.iter().all(plain) {
        return Ok(());
    }
    Err(KeyManagerError::Settings(
        "the key must have its resource name, of the form projects/P/locations/L/keyRings/R/cryptoKeys/K, without a \
         version"
            .to_owned(),
    ))
}

/// The number of a version, if its full name is of this key.
pub(super) fn version_number(key: &str, version: &str) -> Option<u64> {
    version.strip_prefix(key)?.strip_prefix("/cryptoKeyVersions/")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{check_key, version_number};

    const KEY: &str = "projects/example.com:p-1/locations/eu/keyRings/vault/cryptoKeys/root";

    #[test]
    fn a_name_of_a_key_has_its_four_parts_and_no_more() {
        assert_eq!(check_key(KEY), Ok(()));
        let others = [
            "",
            "root",
            "projects/p/locations/eu/keyRings/vault",
            "projects/p/locations/eu/keyRings/vault/cryptoKeys/",
            "projects/p/locations/eu/keyRings/vault/cryptoKeys/a?b",
            "projects/p/locations/eu/cryptoKeys/vault/keyRings/root",
            "projects/p/locations/eu/keyRings/vault/cryptoKeys/root/cryptoKeyVersions/1",
        ];
        for other in others {
            assert!(check_key(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_version_has_a_number_within_its_key() {
        assert_eq!(version_number(KEY, &format!("{KEY}/cryptoKeyVersions/12")), Some(12));
        assert_eq!(version_number(KEY, &format!("{KEY}2/cryptoKeyVersions/12")), None);
        assert_eq!(version_number(KEY, KEY), None);
    }
}
