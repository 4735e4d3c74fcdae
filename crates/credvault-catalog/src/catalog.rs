//! The catalog: embedded providers and those of the operator's folder.

mod fields;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use credvault_domain::{AuthMode, FieldName, ProviderId, rule_of};

use crate::derived::Derived;
use crate::file::{DerivedFile, FieldFile, ModeFile, ProviderFile};
use crate::flows::{self, Known, ModeCalls};
use crate::locate::{key_at, line_of_key, line_of_offset, named, shown_key};
use crate::{AppField, Mode, Provider};

use fields::{app_fields, check_belongs, check_single_lines, fields};

/// The files that are part of the program.
const EMBEDDED: &[(&str, &str)] = &[
    ("amazon_ads.toml", include_str!("../providers/amazon_ads.toml")),
    ("amazon_sp_seller.toml", include_str!("../providers/amazon_sp_seller.toml")),
    ("amazon_sp_vendor.toml", include_str!("../providers/amazon_sp_vendor.toml")),
    ("bigcommerce.toml", include_str!("../providers/bigcommerce.toml")),
    ("ebay.toml", include_str!("../providers/ebay.toml")),
    ("etsy.toml", include_str!("../providers/etsy.toml")),
    ("generic.toml", include_str!("../providers/generic.toml")),
    ("github.toml", include_str!("../providers/github.toml")),
    ("google_analytics.toml", include_str!("../providers/google_analytics.toml")),
    ("google_sheets.toml", include_str!("../providers/google_sheets.toml")),
    ("hubspot.toml", include_str!("../providers/hubspot.toml")),
    ("klaviyo.toml", include_str!("../providers/klaviyo.toml")),
    ("kustomer.toml", include_str!("../providers/kustomer.toml")),
    ("mailchimp.toml", include_str!("../providers/mailchimp.toml")),
    ("meta.toml", include_str!("../providers/meta.toml")),
    ("microsoft_graph.toml", include_str!("../providers/microsoft_graph.toml")),
    ("notion.toml", include_str!("../providers/notion.toml")),
    ("quickbooks.toml", include_str!("../providers/quickbooks.toml")),
    ("salesforce.toml", include_str!("../providers/salesforce.toml")),
    ("shopify.toml", include_str!("../providers/shopify.toml")),
    ("slack.toml", include_str!("../providers/slack.toml")),
    ("stripe.toml", include_str!("../providers/stripe.toml")),
    ("takealot.toml", include_str!("../providers/takealot.toml")),
    ("tiktok_ads.toml", include_str!("../providers/tiktok_ads.toml")),
    ("tiktok_shop.toml", include_str!("../providers/tiktok_shop.toml")),
    ("walmart_marketplace.toml", include_str!("../providers/walmart_marketplace.toml")),
    ("woocommerce.toml", include_str!("../providers/woocommerce.toml")),
    ("xero.toml", include_str!("../providers/xero.toml")),
    ("zendesk.toml", include_str!("../providers/zendesk.toml")),
];

/// Why a catalog could not be loaded. The program does not start with a broken one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder or a file in it cannot be read.
    #[error("the provider catalog {path} cannot be read: {source}")]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is broken.
    #[error("provider file {file}, line {line}: {key} {problem}")]
    Broken {
        /// Which file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// The dotted key, or `file` where the text is not TOML.
        key: String,
        /// What is wrong, as the end of a sentence about the key.
        problem: String,
    },
}

/// All providers.
#[derive(Debug)]
pub struct Catalog {
    providers: BTreeMap<ProviderId, Provider>,
}

impl Catalog {
    /// The embedded providers and those of `folder`; a file there replaces the embedded provider of the same id.
    ///
    /// # Errors
    /// The folder cannot be read or one of its files is broken.
    pub fn load(folder: Option<&Path>) -> Result<Self, LoadError> {
        let mut providers = BTreeMap::new();
        for (name, text) in EMBEDDED {
            let provider = parse(name, text)?;
            providers.insert(provider.id.clone(), provider);
        }
        for path in folder.map(toml_files).transpose()?.unwrap_or_default() {
            let unreadable = |source| LoadError::Unreadable { path: path.clone(), source };
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            let provider = parse(&path.display().to_string(), &text)?;
            providers.insert(provider.id.clone(), provider);
        }
        Ok(Self { providers })
    }

    /// One provider.
    pub fn get(&self, id: &ProviderId) -> Option<&Provider> {
        self.providers.get(id)
    }

    /// All providers, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }
}

fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A problem at a dotted key.
pub(crate) type Problem = (String, String);

fn parse(file: &str, text: &str) -> Result<Provider, LoadError> {
    let parsed: ProviderFile = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let (key, problem) = match toml::from_str::<toml::Table>(text) {
            Ok(_) => (key_at(text, start), format!("is wrong: {}", rule_of(error.message()))),
            Err(_) => {
                (None, "is not TOML: look for a missing quote, and for a key that is there twice".to_owned())
            }
        };
        let key = key.unwrap_or("the file").to_owned();
        LoadError::Broken { file: file.to_owned(), line: line_of_offset(text, start), key, problem }
    })?;
    provider(file, parsed).map_err(|(key, problem)| {
        let line = line_of_key(text, &key);
        LoadError::Broken { file: file.to_owned(), line, key: shown_key(&key), problem }
    })
}

fn provider(file_name: &str, file: ProviderFile) -> Result<Provider, Problem> {
    let id = ProviderId::parse(&file.id).map_err(|rule| ("id".to_owned(), rule.to_string()))?;
    if Path::new(file_name).file_stem().and_then(|stem| stem.to_str()) != Some(id.as_str()) {
        return Err(("id".to_owned(), format!("must be the name of the file: {id}.toml")));
    }
    if file.modes.is_empty() {
        return Err(("modes".to_owned(), "must have at least one mode".to_owned()));
    }
    let app = app_fields(file.app)?;
    let mut modes = BTreeMap::new();
    for (name, mode_file) in file.modes {
        let key = format!("modes.{name}");
        let name = AuthMode::parse(&name).map_err(|rule| (key.clone(), rule.to_string()))?;
        let mut shared = BTreeMap::new();
        for (field, definition) in &file.config {
            shared.insert(field.clone(), definition.clone());
        }
        let mode = mode(&key, shared, &file.derived, &app, mode_file)?;
        modes.insert(name, mode);
    }
    let config = fields("config", file.config, false)?;
    let derived = file.derived.into_iter().map(|(name, file)| {
        let checked = Derived::from_file(file).map_err(|problem| (format!("derived.{name}"), problem))?;
        Ok((name, checked))
    });
    let derived = derived.collect::<Result<_, Problem>>()?;
    let known =
        Known { config: &config, secrets: &BTreeMap::new(), derived: &derived, app: &app, scoped: false };
    let mut webhooks = BTreeMap::new();
    for (name, webhook) in file.webhooks {
        let key = format!("webhooks.{name}");
        let webhook = flows::webhook(&key, webhook, &known)?;
        let settings = webhook.accounts.iter().filter_map(|account| account.setting.as_deref());
        for setting in settings {
            if !modes.values().any(|mode: &Mode| mode.config.contains_key(setting)) {
                return Err((
                    format!("{key}.account"),
                    format!("names {}, which is no setting of any mode", named(setting)),
                ));
            }
        }
        webhooks.insert(name, webhook);
    }
    let ProviderFile { name, documentation, uncertain, rate_limit, .. } = file;
    Ok(Provider { id, name, documentation, uncertain, rate_limit, app, modes, webhooks })
}

fn mode(
    key: &str,
    shared: BTreeMap<String, FieldFile>,
    shared_derived: &BTreeMap<String, DerivedFile>,
    app: &BTreeMap<FieldName, AppField>,
    mut file: ModeFile,
) -> Result<Mode, Problem> {
    let mut config = fields("config", shared, false)?;
    config.extend(fields(&format!("{key}.config"), std::mem::take(&mut file.config), false)?);
    check_belongs(&config)?;
    let secrets = fields(&format!("{key}.secret"), std::mem::take(&mut file.secret), true)?;
    let place = |name: &str| match file.derived.contains_key(name) {
        true => format!("{key}.derived.{name}"),
        false => format!("derived.{name}"),
    };
    let mut derived = BTreeMap::new();
    for (name, value) in shared_derived.iter().chain(&file.derived) {
        let checked = Derived::from_file(value.clone()).map_err(|problem| (place(name), problem))?;
        derived.insert(name.clone(), checked);
    }
    let scoped = !file.scopes.default.is_empty() || !file.scopes.always.is_empty();
    let known = Known { config: &config, secrets: &secrets, derived: &derived, app, scoped };
    known.check_derived(place)?;
    let request = known.request(&format!("{key}.request"), std::mem::take(&mut file.request))?;
    let request_names_app = known.names_app(request.all());
    let request_app_secrets = known.app_secrets(&request);
    let ModeCalls { oauth, handoff, revoke, verify } = known.calls(key, &mut file)?;
    check_single_lines(&request, &secrets)
        .map_err(|(part, problem)| (format!("{key}.request.{part}"), problem))?;
    let ModeFile { title, kind, open, .. } = file;
    Ok(Mode {
        title,
        kind,
        open,
        config,
        secrets,
        derived,
        request,
        request_names_app,
        request_app_secrets,
        oauth,
        handoff,
        revoke,
        verify,
        places: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests;
