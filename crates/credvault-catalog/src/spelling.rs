//! The one spelling of a setting that people write in several ways: with blanks around it, in another case, or with the
//! address of a page in place of a host. Only what cannot change the meaning is changed, and the result must still pass the
//! field's rules: a host that its pattern refuses stays refused, whatever stood around it.

use serde::Deserialize;

/// How a setting is brought into its one spelling before it is checked.
#[derive(Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Spelling {
    /// It stays as it is given, without blanks around it.
    #[default]
    Exact,
    /// Lower case, without blanks around it.
    Lower,
    /// Upper case, without blanks around it.
    Upper,
    /// A host in lower case, of a URL if one is given. This domain is added to a name that has no full stop.
    Host(String),
    /// The same without this domain, if the host is within it.
    Subdomain(String),
}

impl Spelling {
    /// The one spelling of a text. `None` if it stays as it is, but for blanks around it.
    pub(crate) fn of(&self, text: &str) -> Option<String> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        match self {
            Self::Exact => None,
            Self::Lower => Some(text.to_ascii_lowercase()),
            Self::Upper => Some(text.to_ascii_uppercase()),
            Self::Host(domain) => {
                let host = host(text);
                Some(if host.contains('.') { host } else { format!("{host}.{domain}") })
            }
            Self::Subdomain(domain) => {
                let host = host(text);
                let name = host.strip_suffix(domain.as_str()).and_then(|name| name.strip_suffix('.'));
                Some(name.map_or_else(|| host.clone(), str::to_owned))
            }
        }
    }

    /// Checks that the domain is one.
    ///
    /// # Errors
    /// The rule that it breaks, without the domain.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        match self {
            Self::Host(domain) | Self::Subdomain(domain)
                if domain.starts_with('.') || !domain.contains('.') || !domain.bytes().all(fits) =>
            {
                Err("must have a domain in lower case, such as acme.example")
            }
            Self::Exact | Self::Lower | Self::Upper | Self::Host(_) | Self::Subdomain(_) => Ok(()),
        }
    }
}

/// The authority of a URL (RFC 3986, section 3.2) in lower case, or the text up to its first slash. User, port and all else
/// that may stand there are left for the pattern to refuse.
fn host(text: &str) -> String {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) => rest,
        Some(_) | None => text,
    };
    rest.split('/').next().unwrap_or(rest).to_ascii_lowercase()
}
