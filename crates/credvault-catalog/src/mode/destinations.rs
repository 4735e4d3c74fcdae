//! Where a mode sends secrets: which settings decide that, and which hosts they lead to.
//!
//! Only the authority of a URL decides (RFC 3986, section 3.2). A setting in a path, such as the version of an API, asks
//! another question of the same host.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::{Config, Destinations, SecretFields, Violations};

use secrecy::ExposeSecret as _;

use super::{Given, Mode};
use crate::call::{CallTemplates, Flow};
use crate::derived::Derived;
use crate::template::{Placeholder, Template};

/// What is known of a mode's destinations when it is loaded.
#[derive(Debug)]
pub(crate) struct Places {
    settings: Destinations,
    authorities: Vec<Template>,
}

impl Mode {
    /// Which settings decide where a secret is sent, each with its default.
    pub fn destinations(&self) -> &Destinations {
        &self.places().settings
    }

    /// The places that a config leads to, each a URL without a path, with the setting that leads there. Without those that
    /// the provider's file names itself, and without those whose settings are not all there.
    pub fn chosen_places(&self, config: &Config) -> BTreeSet<(String, String)> {
        let chosen = self.places().authorities.iter().filter_map(|template| {
            let setting = template.placeholders().find_map(|placeholder| self.chosen_by(placeholder))?;
            Some((setting.to_owned(), self.rendered(template, config)?))
        });
        chosen.collect()
    }

    /// What a record says of settings that lead to other hosts than the ones before: both. `None` if they do not.
    pub fn moved(&self, before: &Config, after: &Config) -> Option<String> {
        let [before, after] = [before, after].map(|config| {
            let hosts: Vec<_> = self.hosts(config).into_iter().collect();
            if hosts.is_empty() { "none".to_owned() } else { hosts.join(" ") }
        });
        (before != after).then(|| format!("host: {before} -> {after}"))
    }

    /// The hosts, with their ports, that a config leads to.
    fn hosts(&self, config: &Config) -> BTreeSet<String> {
        let decided = self.places().authorities.iter().filter(|it| it.placeholders().next().is_some());
        let host = |url: String| match url.split_once("://") {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default().to_owned(),
            None => url,
        };
        decided.filter_map(|template| self.rendered(template, config)).map(host).collect()
    }

    /// Checks, when they are used, the settings that decide where a secret is sent: against the file as it is now, for it
    /// may have become stricter since they were stored.
    ///
    /// # Errors
    /// A violation for each that is not acceptable any more, without values.
    pub fn check_destinations(&self, config: &Config) -> Result<(), Violations> {
        let mut violations = Violations::default();
        for name in self.destinations().names() {
            let Some((field, value)) = self.config.get(name).zip(config.get(name)) else { continue };
            if let Err(rule) = field.check_value(value) {
                violations.add(format!("config.{name}"), rule);
            }
        }
        violations.into_result()
    }

    /// The settings that the URL names at which a code is exchanged, with their values: where that succeeds, the provider has
    /// confirmed them.
    pub fn settings_in_exchange(&self, config: &Config) -> BTreeMap<String, String> {
        self.named_in(self.oauth.as_ref().and_then(|oauth| oauth.exchange.as_ref()), config)
    }

    /// The same for the URL at which a credential is tested.
    pub fn settings_in_verification(&self, config: &Config) -> BTreeMap<String, String> {
        self.named_in(self.verify.as_ref().map(|verify| &verify.call), config)
    }

    fn named_in(&self, call: Option<&CallTemplates>, config: &Config) -> BTreeMap<String, String> {
        let mut names = BTreeSet::new();
        call.into_iter().for_each(|call| self.settings_of(&call.url, &mut names));
        let value = |name: &str| Some((name.to_owned(), config.get(name)?.as_str()?.to_owned()));
        names.into_iter().filter_map(value).collect()
    }

    fn places(&self) -> &Places {
        self.places.get_or_init(|| {
            let (authorities, mut names) = (self.authorities(), BTreeSet::new());
            authorities.iter().for_each(|template| self.settings_of(template, &mut names));
            let default = |name: &str| self.config.get(name).and_then(|field| field.default.clone());
            let settings = names.into_iter().map(|name| (name.to_owned(), default(name))).collect();
            Places { settings: Destinations::new(settings), authorities }
        })
    }

    fn rendered(&self, template: &Template, config: &Config) -> Option<String> {
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let values = self.values(Given { config, secrets: &secrets, app: None, flow: &flow });
        Some(values.render(template).ok()??.expose_secret().to_owned())
    }

    /// The beginning of every URL that the mode fills, up to the end of its authority.
    fn authorities(&self) -> Vec<Template> {
        let oauth = self.oauth.as_ref();
        let calls = [
            oauth.and_then(|oauth| oauth.exchange.as_ref()),
            oauth.and_then(|oauth| oauth.renew.as_ref()),
            oauth.and_then(|oauth| Some(&oauth.after.as_ref()?.call)),
            self.revoke.as_ref().map(|revoke| &revoke.call),
            self.verify.as_ref().map(|verify| &verify.call),
        ];
        let pages = [
            oauth.and_then(|oauth| Some(&oauth.authorize.as_ref()?.url)),
            self.handoff.as_ref().map(|handoff| &handoff.url),
            self.request.base_url.as_ref(),
        ];
        let urls = calls.into_iter().flatten().map(|call| &call.url).chain(pages.into_iter().flatten());
        urls.map(Template::authority).collect()
    }

    fn settings_of<'a>(&'a self, template: &Template, names: &mut BTreeSet<&'a str>) {
        for placeholder in template.placeholders() {
            match placeholder {
                Placeholder::Config(name) => {
                    names.extend(self.config.get_key_value(name.as_str()).map(|(name, _)| name.as_str()));
                }
                Placeholder::Derived(name) => match self.derived.get(name) {
                    Some(Derived::Lookup { from, .. }) => {
                        names.insert(from);
                    }
                    Some(other) => {
                        other.templates().into_iter().for_each(|template| self.settings_of(template, names));
                    }
                    None => {}
                },
                _ => {}
            }
        }
    }

    /// The setting that a caller has written what stands there in. What is looked up is one of the provider file's own
    /// values.
    fn chosen_by<'a>(&'a self, placeholder: &'a Placeholder) -> Option<&'a str> {
        match placeholder {
            Placeholder::Config(name) => Some(name),
            Placeholder::Derived(name) => {
                let templates = self.derived.get(name).map(Derived::templates).unwrap_or_default();
                templates.into_iter().flat_map(Template::placeholders).find_map(|inner| self.chosen_by(inner))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::Catalog;

    fn config(value: serde_json::Value) -> Config {
        let serde_json::Value::Object(object) = value else { panic!("an object") };
        Config::new(object).expect("small")
    }

    /// Over the whole catalog: every setting in an authority is one, and no other.
    #[test]
    fn exactly_the_settings_in_authorities_decide() {
        let catalog = Catalog::load(None).expect("loads");
        let mut deciding: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for provider in catalog.iter() {
            for (_, mode) in provider.modes() {
                let names = mode.destinations().names().map(str::to_owned).collect::<Vec<_>>();
                deciding.entry(provider.id.to_string()).or_default().extend(names);
            }
        }
        let of = |provider: &str| {
            deciding[provider]
                .iter()
                .map(String::as_str)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(of("woocommerce"), ["store_url"]);
        assert_eq!(of("generic"), ["base_url"]);
        assert_eq!(of("zendesk"), ["subdomain"]);
        assert_eq!(of("shopify"), ["shop"], "and not the version of the API");
        assert_eq!(of("salesforce"), ["instance_url", "login_host", "my_domain"]);
        assert_eq!(of("ebay"), ["environment"], "by way of a value that is looked up");
        assert_eq!(of("bigcommerce"), Vec::<&str>::new(), "a path only");
        assert_eq!(of("stripe"), Vec::<&str>::new());
    }

    #[test]
    fn places_are_those_that_a_caller_chooses() {
        let catalog = Catalog::load(None).expect("loads");
        let mode = |provider: &str, mode: &str| {
            let provider = credvault_domain::ProviderId::parse(provider).expect("an id");
            let mode = credvault_domain::AuthMode::parse(mode).expect("a mode");
            catalog.get(&provider).expect("known").mode(&mode).expect("known")
        };
        let woo = mode("woocommerce", "key_pair");
        let places = woo.chosen_places(&config(json!({ "store_url": "https://shop.example:8443/sub/" })));
        assert_eq!(
            places.into_iter().collect::<Vec<_>>(),
            [("store_url".to_owned(), "https://shop.example:8443/sub".to_owned())]
        );
        let ebay = mode("ebay", "oauth2_code");
        assert!(ebay.chosen_places(&config(json!({ "environment": "sandbox" }))).is_empty());
        assert!(!ebay.hosts(&config(json!({ "environment": "sandbox" }))).is_empty());
    }

    /// A default that is written out leads where it led before.
    #[test]
    fn a_default_that_is_written_out_moves_nothing() {
        let catalog = Catalog::load(None).expect("loads");
        for (_, mode) in catalog.iter().flat_map(|provider| provider.modes()) {
            let destinations = mode.destinations();
            let written: serde_json::Map<_, _> = destinations
                .names()
                .filter_map(|name| Some((name.to_owned(), mode.config.get(name)?.default.clone()?)))
                .collect();
            let written = Config::new(written).expect("small");
            assert!(!destinations.differ(&json!({}), &written));
        }
    }
}
