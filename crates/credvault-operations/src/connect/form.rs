//! The form of an auth mode: what a person fills in for a new connection, or to reconnect one.

use std::collections::BTreeMap;
use std::sync::Arc;

use credvault_catalog::{FormField, Mode, Provider};
use credvault_domain::{Action, AuthMode, Config, ConnectAction, ConnectionId, ProviderId, Violations};
use serde_json::Value;

use super::limit::SessionLimit;
use super::reach::{allow, connection};
use super::visit::Visit;
use crate::connections::chosen_mode;
use crate::{Parsed, Refusal, providers};

/// A form for people. Its values go into an [`Entry`](super::Entry), by the fields' names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Form {
    /// The provider's id in the catalog.
    pub provider: ProviderId,
    /// The name that people know the provider by.
    pub provider_name: String,
    /// The auth mode that the form is for.
    pub auth_mode: AuthMode,
    /// The auth mode's name for people.
    pub mode_name: String,
    /// The provider's own documentation, if the catalog knows it.
    pub help_url: Option<String>,
    /// Whether the provider can ask the person for consent, which takes the settings alone.
    pub by_consent: bool,
    /// Whether the person can fill in the secrets.
    pub by_values: bool,
    /// Whether the provider is asked about what the person has filled in before it is stored.
    pub is_tested: bool,
    /// The fields of the settings.
    pub settings: Vec<FormField>,
    /// The fields of the secrets.
    pub secrets: Vec<FormField>,
    /// The settings that a connection has now, by the fields' names; empty for a new one.
    pub values: BTreeMap<String, String>,
}

impl Form {
    /// The form of a provider's mode, with these settings filled in.
    ///
    /// # Errors
    /// There is no way in which a person could connect an account.
    fn new(provider: &Provider, (auth_mode, mode): (AuthMode, &Mode), config: &Config) -> Parsed<Self> {
        if !mode.asks_consent() && !mode.can_be_filled_in() {
            let rule =
                "must be one whose secrets the provider's file names, or with a consent; choose another";
            return Err(Violations::of("auth_mode", rule));
        }
        let settings = mode.settings_form();
        let value = |field: &FormField| {
            let value = config.get(field.name.as_str())?;
            Some((field.name.as_str().to_owned(), text_of(value)))
        };
        Ok(Self {
            provider: provider.id.clone(),
            provider_name: provider.display_name.clone(),
            auth_mode,
            mode_name: mode.display_name.clone(),
            help_url: provider.documentation_url.clone(),
            by_consent: mode.asks_consent(),
            by_values: mode.can_be_filled_in(),
            is_tested: mode.can_be_tried(),
            values: settings.iter().filter_map(value).collect(),
            settings,
            secrets: mode.secrets_form(),
        })
    }
}

/// A setting as a person would type it.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Visit {
    /// The form for another connection at a provider; an empty mode is the provider's only one.
    ///
    /// # Errors
    /// As for GetProvider, or the session does not permit it.
    pub async fn form(&self, provider: &str, auth_mode: &str) -> Result<Form, Refusal> {
        let id = ProviderId::parse(provider).map_err(|rule| Violations::of("provider", rule.to_string()))?;
        let (session, name) = (Arc::clone(&self.session), auth_mode.to_owned());
        let form: Parsed<Form> = self
            .run(Action::GetProvider, move |call| {
                Box::pin(async move {
                    allow(&session.terms, ConnectAction::Add)?;
                    if !session.terms.shows(&id) {
                        return Err(SessionLimit::Provider.into());
                    }
                    providers::get(call, id, |provider, _| -> Parsed<Form> {
                        Form::new(provider, chosen_mode(provider, &name)?, &Config::default())
                    })
                    .await
                })
            })
            .await?;
        Ok(form?)
    }

    /// The form that reconnects a connection, with its settings as they are.
    ///
    /// # Errors
    /// There is no such connection, or the session or policy does not permit it.
    pub async fn reconnect_form(&self, id: ConnectionId) -> Result<Form, Refusal> {
        let session = Arc::clone(&self.session);
        self.run(Action::GetConnection, move |call| {
            Box::pin(async move {
                let (permit, found) =
                    connection(call, &session.terms, Some(ConnectAction::Reconnect), id).await?;
                let context = Arc::clone(&call.context);
                let mode = context.mode(&found.provider, &found.auth_mode)?;
                let provider = context.catalog.get(&found.provider).ok_or(Refusal::ProviderUnknown)?;
                let form = Form::new(provider, (found.auth_mode, mode), &found.config)?;
                call.recorded(&permit, form).await
            })
        })
        .await
    }
}
