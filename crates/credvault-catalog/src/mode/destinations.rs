//! Where a mode sends secrets: which settings decide the host, and which hosts they lead to.
//!
//! Only the authority of a URL decides (RFC 3986, section 3.2). A setting in a path, such as the version of an API,
//! asks another question of the same host.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::{Config, Destinations, SecretFields, Violations};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::call::Call;
use crate::derived::Derived;
use crate::mode::{Mode, Places};
use crate::template::{Placeholder, Template};
use crate::values::{Flow, Given};

impl Mode {
    /// The settings that decide to which host a secret is sent, and those in the calls that end a key, each with its default.
    pub fn destinations(&self) -> &Destinations {
        &self.places().settings
    }

    /// The hosts that a config chooses, each as a URL without a path and with the setting that chooses it. Hosts that
    /// the provider's file names itself are left out, and hosts whose settings are missing.
    pub fn chosen_places(&self, config: &Config) -> BTreeSet<(String, String)> {
        let chosen = self.places().authorities.iter().filter_map(|template| {
            let setting = template.placeholders().find_map(|placeholder| self.chosen_by(placeholder))?;
            Some((setting.to_owned(), self.rendered(template, config)?))
        });
        chosen.collect()
    }

    /// What an audit record says if the settings `after` lead to other hosts than `before`: both lists. `None` if they
    /// lead to the same.
    pub fn moved(&self, before: &Config, after: &Config) -> Option<String> {
        let [before, after] = [before, after].map(|config| {
            let hosts: Vec<_> = self.hosts(config).into_iter().collect();
            if hosts.is_empty() { "none".to_owned() } else { hosts.join(" ") }
        });
        (before != after).then(|| format!("host: {before} -> {after}"))
    }

    /// The hosts, with their ports, that a config leads to.
    pub(crate) fn hosts(&self, config: &Config) -> BTreeSet<String> {
        let decided = self.places().authorities.iter().filter(|it| it.placeholders().next().is_some());
        let host = |url: String| match url.split_once("://") {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default().to_owned(),
            None => url,
        };
        decided.filter_map(|template| self.rendered(template, config)).map(host).collect()
    }

    /// Checks, when they are used, the settings that decide to which host a secret is sent. The provider's file may
    /// have become stricter since they were stored.
    ///
    /// # Errors
    /// A violation for each setting that is no longer acceptable, without its value.
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

    /// Whether `call`, one of this mode's, goes to a server that the provider answers for: its file fixes the domain, and
    /// the settings choose no sandbox. What happens at a server that a tenant has chosen says nothing about others.
    pub fn asks_provider(&self, call: &Call, config: &Config) -> bool {
        let mut names = BTreeSet::new();
        self.settings_of(&call.url.authority(), &mut names);
        names.into_iter().filter_map(|name| self.config.get_key_value(name)).all(|(name, field)| {
            let value = config.get(name.as_str()).or(field.default.as_ref()).and_then(Value::as_str);
            let is_sandbox = value.is_some_and(|value| field.sandboxes.iter().any(|known| known == value));
            !is_sandbox && !field.names_any_host()
        })
    }

    /// The settings in the URL at which a code is exchanged, with their values. A successful exchange confirms them.
    pub fn settings_in_exchange(&self, config: &Config) -> BTreeMap<String, String> {
        self.named_in(self.code_grant().map(|grant| &grant.exchange), config)
    }

    /// The settings in the URL at which a credential is tested, with their values. A successful test confirms them.
    pub fn settings_in_test(&self, config: &Config) -> BTreeMap<String, String> {
        self.named_in(self.test.as_ref().map(|test| &test.call), config)
    }

    fn named_in(&self, call: Option<&Call>, config: &Config) -> BTreeMap<String, String> {
        let mut names = BTreeSet::new();
        call.into_iter().for_each(|call| self.settings_of(&call.url, &mut names));
        let value = |name: &str| Some((name.to_owned(), config.get(name)?.as_str()?.to_owned()));
        names.into_iter().filter_map(value).collect()
    }

    fn places(&self) -> &Places {
        self.places.get_or_init(|| {
            let (authorities, mut names) = (self.authorities(), BTreeSet::new());
            // The issuer decides what its metadata says, and with that every host.
            names.extend(self.discovery.as_ref().map(|discovery| discovery.issuer.as_str()));
            authorities.iter().for_each(|template| self.settings_of(template, &mut names));
            let default = |name: &str| self.config.get(name).and_then(|field| field.default.clone());
            let with_defaults = |names: BTreeSet<&str>| {
                names.into_iter().map(|name| (name.to_owned(), default(name))).collect()
            };
            let settings = Destinations::new(with_defaults(names));
            Places { settings: settings.with_keys(with_defaults(self.settings_of_key_ends())), authorities }
        })
    }

    /// The settings in the calls that end a key, and in the test that tells whether it has ended.
    fn settings_of_key_ends(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let Some(mint) = self.mint() else { return names };
        let ends = [&mint.revoke, &mint.discard].into_iter().flatten().map(|end| &end.call);
        let calls: Vec<&Call> = ends.chain(self.test.as_ref().map(|test| &test.call)).collect();
        let carries = calls.iter().any(|call| call.carries_auth);
        let carried = self.request.all().map(|(_, template)| template).filter(|_| carries);
        let templates = calls.into_iter().flat_map(|call| call.templates()).chain(carried);
        templates.for_each(|template| self.settings_of(template, &mut names));
        names
    }

    fn rendered(&self, template: &Template, config: &Config) -> Option<String> {
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let values = self.values(Given { config, secrets: &secrets, app: None, flow: &flow });
        Some(values.render(template).ok()??.expose_secret().to_owned())
    }

    /// The beginning of every URL that the mode fills, up to the end of its authority.
    fn authorities(&self) -> Vec<Template> {
        let grant = self.code_grant();
        let calls = [
            grant.map(|grant| &grant.exchange),
            grant.and_then(|grant| Some(&grant.post_exchange.as_ref()?.call)),
            self.refresh().map(|refresh| &refresh.call),
            self.revocation.as_ref().map(|revocation| &revocation.call),
            self.test.as_ref().map(|test| &test.call),
            self.mint().map(|mint| &mint.call),
            self.mint().and_then(|mint| Some(&mint.revoke.as_ref()?.call)),
            self.mint().and_then(|mint| Some(&mint.discard.as_ref()?.call)),
        ];
        let pages = [self.consent_page().map(|page| &page.url), self.request.base_url.as_ref()];
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
                    Some(Derived::Lookup { setting, .. }) => {
                        names.insert(setting);
                    }
                    Some(other) => {
                        other.templates().into_iter().for_each(|template| self.settings_of(template, names));
                    }
                    None => {}
                },
                Placeholder::Secret(_)
                | Placeholder::Member(..)
                | Placeholder::App(_)
                | Placeholder::Flow(_) => {}
            }
        }
    }

    /// The setting whose text a caller has chosen and that fills `placeholder`. A lookup gives one of the provider
    /// file's own values, so no caller chooses it.
    fn chosen_by<'a>(&'a self, placeholder: &'a Placeholder) -> Option<&'a str> {
        match placeholder {
            Placeholder::Config(name) => Some(name),
            Placeholder::Derived(name) => {
                let templates = self.derived.get(name).map(Derived::templates).unwrap_or_default();
                templates.into_iter().flat_map(Template::placeholders).find_map(|inner| self.chosen_by(inner))
            }
            Placeholder::Secret(_) | Placeholder::Member(..) | Placeholder::App(_) | Placeholder::Flow(_) => {
                None
            }
        }
    }
}
