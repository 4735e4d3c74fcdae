//! `public`: the port for browsers that come back from providers.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::{socket_address, web_url};

/// What a URL of this section must be.
const WEB_URL: &str = "must be an https URL without a user, or an http URL of the same machine";

/// `public` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct PublicSection {
    /// Where plain HTTP is served for browsers. A reverse proxy in front of it has the TLS.
    #[serde(deserialize_with = "socket_address")]
    pub address: SocketAddr,
    /// How browsers reach it, such as `https://connect.example.com`: https, or http on the same machine. Without it the
    /// port stays closed.
    pub url: Option<String>,
    /// Origins of the pages that may learn of a browser's return, such as `https://app.example.com`.
    pub origins: Vec<String>,
    /// How many of the port's 1,024 connections one address may have; 0 means all. Behind a reverse proxy the address is
    /// the proxy's.
    pub connections_per_address: usize,
}

impl Default for PublicSection {
    fn default() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 7480));
        Self { address, url: None, origins: Vec::new(), connections_per_address: 256 }
    }
}

/// The port for browsers that come back from providers.
#[derive(Clone, Debug)]
pub struct Public {
    /// Where plain HTTP is served for browsers.
    pub address: SocketAddr,
    /// How browsers reach it, without a slash at its end. Without it the port stays closed.
    pub url: Option<String>,
    /// Origins of the pages that may learn of a browser's return.
    pub origins: Vec<String>,
    /// How many connections one address may have; 0 means all.
    pub connections_per_address: usize,
}

impl PublicSection {
    pub(super) fn check(&self, problems: &mut Problems) -> Public {
        for (index, origin) in self.origins.iter().enumerate() {
            let rule = "must be one origin, such as https://app.example.com, without a path or a wildcard";
            match web_url(origin) {
                None => problems.refuse(&format!("public.origins[{index}]"), WEB_URL),
                Some(url) if url.origin().ascii_serialization() != *origin || !is_plain(origin) => {
                    problems.refuse(&format!("public.origins[{index}]"), rule);
                }
                Some(_) => {}
            }
        }
        let each = self.connections_per_address;
        Public {
            address: self.address,
            url: self.url.as_deref().and_then(|url| base_url(url, problems)),
            origins: self.origins.clone(),
            connections_per_address: problems.number("public.connections_per_address", each, 0..=1_000_000),
        }
    }
}

/// Whether an origin means itself only where a content security policy names it: there `*` is a pattern, and `;` and `,` end the
/// name.
fn is_plain(origin: &str) -> bool {
    origin.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/[]".contains(&byte))
}

/// A URL that is an origin; a slash at its end is left out.
fn base_url(text: &str, problems: &mut Problems) -> Option<String> {
    let Some(url) = web_url(text) else {
        problems.refuse("public.url", WEB_URL);
        return None;
    };
    if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
        problems.refuse("public.url", "must have no path, query or fragment");
        return None;
    }
    Some(url.origin().ascii_serialization())
}
