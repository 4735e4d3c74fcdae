//! Where settings may lead: the same rule for the settings of connections and for the URLs of events.

use credvault_catalog::Mode;
use credvault_domain::{Config, Violations};
use url::Url;

use crate::Broker;

impl Broker {
    /// Checks, before a config is stored, the places that its settings lead to. `path` is what the request calls it.
    ///
    /// # Errors
    /// A violation for each setting that leads to a place that is not public, or that is not written plainly.
    pub fn check_destinations(&self, path: &str, mode: &Mode, config: &Config) -> Result<(), Violations> {
        let mut violations = Violations::default();
        for (setting, place) in mode.chosen_places(config) {
            // What a setting adds to a host must not end the host, or begin another.
            let plain = |url: &Url| url.as_str().trim_end_matches('/') == place;
            let rule = match Url::parse(&place).ok().filter(plain) {
                Some(url) => self.http().admits_stored(&url).err().map(|error| error.rule()),
                None => {
                    Some("must name a host in its plain form: lower case, ASCII, nothing before or after it")
                }
            };
            if let Some(rule) = rule {
                violations.add(format!("{path}.{setting}"), rule);
            }
        }
        violations.into_result()
    }
}
