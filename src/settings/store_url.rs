//! Whether a database can be reached by its URL, and whether the traffic is encrypted then.

use std::net::IpAddr;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// Refuses what is not a URL, which the driver would print with its password.
pub(super) fn parse(url: &SecretString) -> Result<Url, &'static str> {
    let rule =
        "is not a URL; percent-encode special characters of the password, such as %23 for # and %2F for /";
    Url::parse(url.expose_secret()).map_err(|_| rule)
}

/// Refuses a PostgreSQL URL whose traffic would travel to another machine in the clear, or might: without `sslmode` the
/// server, or a stranger who answers in its place, decides that.
pub(super) fn check_encryption(url: &Url) -> Result<(), &'static str> {
    let variable = |name: &str| std::env::var(name).ok();
    if !matches!(url.scheme(), "postgres" | "postgresql") || stays_here(url, &variable) || is_encrypted(url) {
        return Ok(());
    }
    Err(
        "would reach PostgreSQL without TLS: end it in ?sslmode=verify-full (and &sslrootcert=… for an authority of your \
         own), or set store.allow_unencrypted if the network in between is safe",
    )
}

/// The values of a parameter; the driver takes the last.
fn last<'a>(url: &'a Url, names: &'a [&str]) -> Option<String> {
    let pairs = url.query_pairs().filter(|(name, _)| names.contains(&name.as_ref()));
    pairs.last().map(|(_, value)| value.into_owned())
}

fn is_encrypted(url: &Url) -> bool {
    last(url, &["sslmode", "ssl-mode"]).is_some_and(|mode| {
        matches!(mode.to_ascii_lowercase().as_str(), "require" | "verify-ca" | "verify-full")
    })
}

/// Whether the server is on this machine: a socket's folder, or a loopback address. A URL without a host leads where the
/// driver's variables say.
fn stays_here(url: &Url, variable: &impl Fn(&str) -> Option<String>) -> bool {
    let of_url = url.host_str().map(|host| host.to_ascii_lowercase().replace("%2f", "/"));
    let of_url = last(url, &["host", "hostaddr"]).or(of_url).filter(|host| !host.is_empty());
    let of_variables = || variable("PGHOSTADDR").or_else(|| variable("PGHOST"));
    let host = of_url.or_else(of_variables).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.is_empty()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_host_leads_where_the_variables_say() {
        let local = |url: &str, set: &[(&str, &str)]| {
            let variable = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            stays_here(&Url::parse(url).expect(url), &variable)
        };
        for url in ["postgres:///c", "postgres:///c?user=a", "postgres:///c?host="] {
            assert!(local(url, &[]), "{url}");
            assert!(local(url, &[("PGHOST", "/var/run/postgresql")]), "{url}");
            assert!(local(url, &[("PGHOST", "db.example"), ("PGHOSTADDR", "127.0.0.1")]), "{url}");
            assert!(!local(url, &[("PGHOST", "db.example")]), "{url}");
            assert!(!local(url, &[("PGHOST", "localhost"), ("PGHOSTADDR", "10.0.0.1")]), "{url}");
        }
        assert!(local("postgres://localhost/c", &[("PGHOST", "db.example")]), "the URL's own comes first");
    }

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        let sound = [
            "postgres://a:b@db.example/c?sslmode=verify-full",
            "postgresql://a:b@db.example/c?sslmode=prefer&ssl-mode=Require",
            "postgres://a:b@localhost/c",
            "postgres://a:b@127.0.0.1:5433/c?sslmode=disable",
            "postgres://a:b@[::1]/c",
            "postgres:///c",
            "postgres://a@%2Fvar%2Frun%2Fpostgresql/c",
            "postgres://a@db.example/c?host=/var/run/postgresql",
            "sqlite:vault.db",
        ];
        let refused = [
            "postgres://a:CANARY@db.example/c",
            "postgres://a:CANARY@10.0.0.1/c?sslmode=prefer",
            "postgres://a:CANARY@localhost/c?host=db.example",
            "postgres://a:CANARY@db.example/c?sslmode=verify-full&sslmode=disable",
            "postgresql://a:CANARY@localhost.example/c?sslmode=allow",
        ];
        let check = |url: &str| check_encryption(&parse(&url.into()).expect("a URL"));
        for url in sound {
            check(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        for url in refused {
            let error = check(url).expect_err(url);
            assert!(!error.contains("CANARY"), "{error}");
        }
    }
}
