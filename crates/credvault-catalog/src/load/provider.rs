//! Checked providers, from their shape in a provider file.

use std::collections::BTreeMap;
use std::path::Path;

use credvault_domain::{AuthMode, FieldName, ProviderId};

use super::field::{Table, app_fields, derived, fields};
use super::file::ProviderFile;
use super::file::webhook::WebhookFile;
use super::mode::{Shared, mode};
use super::names::Names;
use super::problem::Problem;
use crate::field::Field;
use crate::mode::Mode;
use crate::provider::{AppField, Provider};
use crate::shown::shown_name;
use crate::webhook::Webhook;

/// Checks a whole provider file. `file_name` must be that of its id.
pub(super) fn provider(file_name: &str, file: ProviderFile) -> Result<Provider, Problem> {
    let id = ProviderId::parse(&file.id).map_err(|rule| Problem::new("id", rule.to_string()))?;
    if Path::new(file_name).file_stem().and_then(|stem| stem.to_str()) != Some(id.as_str()) {
        return Err(Problem::new("id", format!("must be the name of the file: {id}.toml")));
    }
    if file.modes.is_empty() {
        return Err(Problem::new("modes", "must have at least one mode"));
    }
    let app = app_fields(file.app)?;
    let shared = Shared { config: &file.config, derived: &file.derived, app: &app };
    let mut modes = BTreeMap::new();
    for (name, mode_file) in file.modes {
        let key = format!("modes.{name}");
        let name = AuthMode::parse(&name).map_err(|rule| Problem::new(&key, rule.to_string()))?;
        modes.insert(name, mode(&key, &shared, mode_file)?);
    }
    let config = fields("config", file.config, Table::Config)?;
    let derived = file.derived.into_iter().map(|(name, file)| {
        let checked = derived(&format!("derived.{name}"), file)?;
        Ok((name, checked))
    });
    let derived = derived.collect::<Result<_, Problem>>()?;
    // A webhook belongs to no mode, so its calls have no secret fields.
    let secrets = BTreeMap::new();
    let names = Names { config: &config, secrets: &secrets, derived: &derived, app: &app, scoped: false };
    let mut webhooks = BTreeMap::new();
    for (name, file) in file.webhooks {
        let checked = webhook(&format!("webhooks.{name}"), file, &names, &modes)?;
        webhooks.insert(name, checked);
    }
    let servers = servers(file.app_per, &config, &app)?;
    let ProviderFile { display_name, documentation_url, unconfirmed, rate_limit, .. } = file;
    Ok(Provider {
        id,
        display_name,
        documentation_url,
        unconfirmed,
        rate_limit,
        app,
        webhooks,
        modes,
        servers,
    })
}

/// Checks the setting that tells servers apart: connections and apps must both have it, and no caller may leave it out.
fn servers(
    name: Option<String>,
    config: &BTreeMap<FieldName, Field>,
    app: &BTreeMap<FieldName, AppField>,
) -> Result<Option<(FieldName, Field)>, Problem> {
    let Some(name) = name else { return Ok(None) };
    let known = config.get_key_value(name.as_str()).filter(|(name, field)| {
        let plain = app.get(name.as_str()).is_some_and(|field| !field.is_secret());
        field.required && field.pattern.is_some() && plain
    });
    let rule = "must name a setting of all modes that is required and has a pattern, and a value of the app";
    known
        .map(|(name, field)| Some((name.clone(), field.clone())))
        .ok_or_else(|| Problem::new("app_per", rule))
}

/// Checks a way to sign webhooks: the settings that it names are settings of some mode.
fn webhook(
    key: &str,
    file: WebhookFile,
    names: &Names<'_>,
    modes: &BTreeMap<AuthMode, Mode>,
) -> Result<Webhook, Problem> {
    let webhook = names.webhook(key, file)?;
    for setting in webhook.accounts.iter().filter_map(|account| account.setting.as_deref()) {
        if !modes.values().any(|mode| mode.config.contains_key(setting)) {
            let text = format!("names {}, which is no setting of any mode", shown_name(setting));
            return Err(Problem::new(format!("{key}.accounts"), text));
        }
    }
    Ok(webhook)
}
