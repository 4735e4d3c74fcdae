//! Trust bundles, issuers with their keys, and policies, made of the settings and the files that these name. Fetches JWKS,
//! which is the program's only outgoing HTTP beside the broker's calls and traces.

use std::sync::Arc;
use std::time::Duration;

use credvault_identity::{Fetch, FetchError, Identity, Issuer, Issuers, KeySource, Policies, Trust};

use crate::reload::{FileContents, Read, parsable};
use crate::settings::{self, Problems};
use crate::trace;

/// The largest JWKS document, in bytes.
const MAX_JWKS_BYTES: usize = 256 * 1024;
/// How long fetching a JWKS may take.
const JWKS_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the identity of `settings` and `files`; what is wrong with them is added to `problems`. `None` if something is.
pub(super) fn load(
    settings: &settings::Identity,
    files: &FileContents,
    problems: &mut Problems,
) -> Option<Identity> {
    let key = "identity.trust_domains";
    let bundles = readable(&files.bundles, problems);
    let trust = bundles.and_then(|bundles| problems.take_within(key, key, Trust::new(bundles)));
    let policies = readable(&files.policies, problems);
    let policies =
        policies.and_then(|files| problems.take("identity.policies", Policies::parse(&parsable(files))));
    let issuers = issuers(settings, files, problems);
    let (trust, policies, issuers) = (trust?, policies?, issuers?);
    if policies.is_empty() {
        tracing::warn!("there is no policy, so every call will be refused: see identity.policies");
    }
    Some(Identity::new(Arc::new(trust), Issuers::new(issuers), policies))
}

/// What files hold; `None` if one cannot be read, and each of those becomes a problem of the key that names it.
fn readable<'a, T>(read: &'a Read<T>, problems: &mut Problems) -> Option<&'a T> {
    match read {
        Ok(contents) => Some(contents),
        Err(unreadable) => {
            unreadable.iter().for_each(|one| problems.refuse(&one.key, one.problem.as_str()));
            None
        }
    }
}

fn issuers(
    settings: &settings::Identity,
    files: &FileContents,
    problems: &mut Problems,
) -> Option<Vec<Issuer>> {
    // The client loads the system's authorities, which a machine without issuers at URLs need not have.
    let fetches = settings.issuers.iter().any(|issuer| matches!(issuer.keys, KeySource::Url(_)));
    let fetch = if fetches { problems.take("identity.issuers", fetch())? } else { never() };
    let mut documents = files.keys.iter();
    let mut issuers = Vec::new();
    for (index, settings) in settings.issuers.iter().enumerate() {
        let from_file = matches!(settings.keys, KeySource::File(_));
        let issuer = Issuer::new(settings.clone(), Arc::clone(&fetch));
        let document = if from_file { documents.next() } else { None };
        let used =
            document.map(|document| document.clone().and_then(|document| issuer.use_document(&document)));
        let table = format!("identity.issuers[{index}]");
        problems.take_within(&table, &format!("{table}.jwks_file"), used.transpose());
        issuers.push(issuer);
    }
    Some(issuers)
}

/// Stands in where no issuer has a URL.
fn never() -> Fetch {
    Arc::new(|_| Box::pin(async { Err(FetchError("no issuer has a URL".to_owned())) }))
}

/// How a JWKS is fetched: no redirects, no proxy, five seconds, 256 KiB.
fn fetch() -> Result<Fetch, String> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // These keys decide who is who: they come from where the settings say, whatever proxy the environment names.
        .no_proxy()
        .timeout(JWKS_TIMEOUT)
        .user_agent("credvault")
        .build()
        .map_err(|error| format!("the client that fetches jwks_url cannot be made: {error}"))?;
    Ok(Arc::new(move |url| {
        let client = client.clone();
        Box::pin(async move {
            let failed = |error: reqwest::Error| FetchError(credvault_domain::chain(&error.without_url()));
            let request = client.get(url).headers(trace::outgoing());
            let mut response = request.send().await.map_err(failed)?.error_for_status().map_err(failed)?;
            let mut document = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                document.extend_from_slice(&chunk);
                if document.len() > MAX_JWKS_BYTES {
                    return Err(FetchError("it is larger than 256 KiB".to_owned()));
                }
            }
            Ok(document)
        })
    }))
}
