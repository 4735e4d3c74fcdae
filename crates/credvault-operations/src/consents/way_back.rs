//! Where a consent ends in the browser.

use credvault_domain::Violations;
use url::Url;

use crate::Parsed;

/// How many bytes a return URL has at most.
const MAX_URL_BYTES: usize = 2048;

/// The page that learns of the return, and where the browser goes where no page can be told.
pub(crate) struct WayBack {
    pub(crate) origin: Option<String>,
    pub(crate) url: Option<String>,
}

/// Checks that origin and URL are of the `known` origins, those that are configured, and of the same.
pub(crate) fn way_back((origin, url): (String, &str), known: &[String]) -> Parsed<WayBack> {
    const RULE: &str = "must be exactly one of the origins in public.origins; an operator can add it there";
    if !origin.is_empty() && !known.contains(&origin) {
        return Err(Violations::of("return_origin", RULE));
    }
    let origin = Some(origin).filter(|origin| !origin.is_empty());
    if url.is_empty() {
        return Ok(WayBack { origin, url: None });
    }
    let parsed = Url::parse(url).ok().filter(|parsed| {
        let anonymous = parsed.username().is_empty() && parsed.password().is_none();
        anonymous && parsed.fragment().is_none() && url.len() <= MAX_URL_BYTES
    });
    let its = parsed.as_ref().map(|parsed| parsed.origin().ascii_serialization());
    match (parsed, its) {
        (Some(parsed), Some(its))
            if known.contains(&its) && origin.as_ref().is_none_or(|given| *given == its) =>
        {
            Ok(WayBack { origin: Some(its), url: Some(parsed.into()) })
        }
        _ => Err(Violations::of(
            "return_url",
            "must be a URL of return_origin, without a fragment, of at most 2048 bytes; its origin must be one of the \
             origins in the vault's public.origins",
        )),
    }
}
