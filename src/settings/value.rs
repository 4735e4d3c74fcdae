//! How single values are read and written: one of a few words, an address, a length of time, a path, a secret that is never
//! shown, a URL.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};
use url::{Host, Url};

/// The keys whose values are secret.
pub const SECRETS: [&str; 4] =
    ["store.url", "store.migrate_url", "root_key.passphrase", "other_root_key.passphrase"];

pub(super) const HOUR_SECONDS: u64 = 3600;
pub(super) const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;
pub(super) const YEAR_SECONDS: u64 = 365 * DAY_SECONDS;

/// One of a few words.
pub(super) fn word<'de, D: Deserializer<'de>, T: ValueEnum>(deserializer: D) -> Result<T, D::Error> {
    let given = String::deserialize(deserializer)?;
    T::from_str(&given, false).map_err(|_| {
        let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
        D::Error::custom(format!("must be one of {}", words.join(", ")))
    })
}

/// The same for a word that can be left out.
pub(super) fn optional_word<'de, D: Deserializer<'de>, T: ValueEnum>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    word(deserializer).map(Some)
}

/// An address with its port.
pub(super) fn socket_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let given = String::deserialize(deserializer)?;
    given.parse().map_err(|_| D::Error::custom("must be an IP address and a port, such as 127.0.0.1:7443"))
}

/// Makes a path begin at `base`, unless it is absolute or was not given.
pub(super) fn resolve(path: &mut PathBuf, base: &Path) {
    if !path.as_os_str().is_empty() {
        *path = base.join(&*path);
    }
}

/// Writes that there is a secret, and not which.
pub(super) fn hidden<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    match secret.expose_secret() {
        "" => serializer.serialize_none(),
        _ => serializer.serialize_str(SECRET),
    }
}

/// The same for a secret that can be left out.
pub(super) fn hidden_option<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_str(SECRET),
        None => serializer.serialize_none(),
    }
}

/// What is shown instead of a secret.
const SECRET: &str = "(secret)";

/// A URL over https, or over http on this machine, where no stranger listens in between; without a user. It is judged as
/// clients read it: what stands before an `@` is no host.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let local = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let anonymous = url.username().is_empty() && url.password().is_none();
    let private = url.scheme() == "https" || (url.scheme() == "http" && local);
    (anonymous && private).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_url_is_over_https_or_of_this_machine() {
        for url in [
            "https://issuer.example/jwks",
            "https://issuer.example:8443/jwks",
            "http://127.0.0.1:8080/jwks",
            "http://127.9.9.9/jwks",
            "http://[::1]:8080/jwks",
            "http://localhost:8080/jwks",
        ] {
            assert!(web_url(url).is_some(), "{url}");
        }
        for url in [
            "http://localhost:80@evil.example/",
            "http://127.0.0.1:80@evil.example/",
            "http://[::1]:@evil.example/",
            "https://user@issuer.example/",
            "https://user:password@issuer.example/",
            "http://localhost.evil.example/",
            "http://issuer.example/jwks",
            "ftp://127.0.0.1/jwks",
            "https://",
            "jwks",
        ] {
            assert!(web_url(url).is_none(), "{url}");
        }
    }
}
