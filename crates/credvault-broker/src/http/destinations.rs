//! Where a connection's settings may lead: the rule for settings that decide a host. Events' URLs obey the same guard.

use credvault_catalog::Mode;
use credvault_domain::{Config, Violations};
use url::Url;

use super::guard::Guard;

/// Checks each host that settings decide. `path` is the name of the settings in the request.
///
/// # Errors
/// A violation for each setting that leads to a host that is not public, or that is not in its plain form.
pub(crate) fn check_destinations(
    guard: &Guard,
    path: &str,
    mode: &Mode,
    config: &Config,
) -> Result<(), Violations> {
    let mut violations = Violations::default();
    for (setting, place) in mode.chosen_places(config) {
        // What a setting adds to a host must not end the host, or begin another.
        let plain = |url: &Url| url.as_str().trim_end_matches('/') == place.trim_end_matches('/');
        let rule = match Url::parse(&place).ok().filter(plain) {
            Some(url) => guard.check_stored_url(&url).err().map(|error| error.rule()),
            None => Some("must name a host in its plain form: lower case, ASCII, nothing before or after it"),
        };
        if let Some(rule) = rule {
            violations.add(format!("{path}.{setting}"), rule);
        }
    }
    violations.into_result()
}
