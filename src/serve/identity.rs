//! From settings to who is trusted.

use std::sync::Arc;
use std::time::Duration;

use credvault_identity::{
    AudienceClaim, Fetch, FetchError, Identity, Issuer, IssuerKind, IssuerSettings, Issuers, KeySource,
    Policies, Trust,
};

use url::{Host, Url};

use super::StartError;
use crate::reload;
use crate::settings::{IssuerKindSetting, IssuerSection, Settings};
use crate::trace;

/// The longest a user's token may live, unless configured otherwise.
const USER_LIFETIME: u64 = 3600;
/// The longest an assertion may live, unless configured otherwise.
const ASSERTION_LIFETIME: u64 = 300;
/// The largest JWKS.
const JWKS_MAX: usize = 256 * 1024;

/// Loads trust bundles, issuers with their keys, and policies.
pub(crate) fn load(settings: &Settings) -> Result<Identity, StartError> {
    let file = |error: String| StartError::File(error);
    let bundles = reload::bundles(&settings.identity).map_err(file)?;
    let trust = Trust::new(&bundles).map_err(|error| file(format!("identity.trust_domains: {error}")))?;
    let files = reload::policy_files(&settings.identity).map_err(file)?;
    let policies = Policies::parse(&files).map_err(|error| file(error.to_string()))?;
    if policies.is_empty() {
        tracing::warn!("there is no policy, so every call will be refused: see identity.policies");
    }
    // The client wants the system's authorities, which a machine without issuers at URLs need not have.
    let anywhere = settings.identity.issuers.iter().any(|issuer| issuer.jwks_url.is_some());
    let fetch = if anywhere { fetch()? } else { never() };
    let mut issuers = Vec::new();
    for (index, section) in settings.identity.issuers.iter().enumerate() {
        let settings = issuer(section).map_err(|rule| file(format!("identity.issuers[{index}].{rule}")))?;
        let issuer = Issuer::new(settings, Arc::clone(&fetch));
        if let KeySource::File(path) = &issuer.settings().keys {
            let unusable = |error: String| file(format!("identity.issuers[{index}].jwks_file: {error}"));
            let document =
                std::fs::read(path).map_err(|error| unusable(format!("{}: {error}", path.display())))?;
            issuer.use_document(&document).map_err(unusable)?;
        }
        issuers.push(issuer);
    }
    Ok(Identity::new(Arc::new(trust), Issuers::new(issuers), policies))
}

fn issuer(section: &IssuerSection) -> Result<IssuerSettings, String> {
    let given =
        |key: &str, text: &str| if text.is_empty() { Err(format!("{key} must be given")) } else { Ok(()) };
    given("name", &section.name)?;
    given("issuer", &section.issuer)?;
    given("tenant_claim", &section.tenant_claim)?;
    given("user_claim", &section.user_claim)?;
    given("audience_claim", &section.audience_claim)?;
    if section.audiences.is_empty() {
        return Err("audiences must name at least one value".to_owned());
    }
    let keys = match (&section.jwks_file, &section.jwks_url) {
        (Some(path), None) => KeySource::File(path.clone()),
        (None, Some(url)) if is_trustworthy(url) => KeySource::Url(url.clone()),
        (None, Some(_)) => return Err("jwks_url must begin with https:// and name no user".to_owned()),
        _ => return Err("jwks_file or jwks_url must be given, and only one of them".to_owned()),
    };
    let (kind, lifetime) = match section.kind {
        IssuerKindSetting::User => (IssuerKind::User, USER_LIFETIME),
        IssuerKindSetting::Assertion => (IssuerKind::Assertion, ASSERTION_LIFETIME),
    };
    Ok(IssuerSettings {
        name: section.name.clone(),
        kind,
        issuer: section.issuer.clone(),
        keys,
        audience: AudienceClaim {
            claim: section.audience_claim.clone(),
            accepted: section.audiences.clone(),
        },
        tenant_claim: section.tenant_claim.clone(),
        user_claim: section.user_claim.clone(),
        max_lifetime: Duration::from_secs(section.max_lifetime_seconds.unwrap_or(lifetime)),
    })
}

/// Over https, or on this machine, where nobody listens in between. As the client reads the URL: what stands before an `@`
/// is no host.
fn is_trustworthy(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let anonymous = url.username().is_empty() && url.password().is_none();
    anonymous && (url.scheme() == "https" || (url.scheme() == "http" && local))
}

/// Where nothing is configured to be fetched.
fn never() -> Fetch {
    Arc::new(|_| Box::pin(async { Err(FetchError("no issuer has a URL".to_owned())) }))
}

/// How a JWKS is fetched: no redirects, no proxy, five seconds, 256 KiB.
fn fetch() -> Result<Fetch, StartError> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // Keys that decide who is who come from where the settings say, whatever the environment says of proxies.
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .user_agent("credvault")
        .build()
        .map_err(|error| StartError::File(format!("the HTTP client cannot be made: {error}")))?;
    Ok(Arc::new(move |url| {
        let client = client.clone();
        Box::pin(async move {
            let failed = |error: reqwest::Error| FetchError(credvault_domain::chain(&error.without_url()));
            let request = client.get(url).headers(trace::outgoing());
            let mut response = request.send().await.map_err(failed)?.error_for_status().map_err(failed)?;
            let mut document = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                document.extend_from_slice(&chunk);
                if document.len() > JWKS_MAX {
                    return Err(FetchError("it is larger than 256 KiB".to_owned()));
                }
            }
            Ok(document)
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_over_https_or_from_this_machine() {
        for url in [
            "https://issuer.example/jwks",
            "https://issuer.example:8443/jwks",
            "http://127.0.0.1:8080/jwks",
            "http://127.9.9.9/jwks",
            "http://[::1]:8080/jwks",
            "http://localhost:8080/jwks",
        ] {
            assert!(is_trustworthy(url), "{url}");
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
            assert!(!is_trustworthy(url), "{url}");
        }
    }
}
