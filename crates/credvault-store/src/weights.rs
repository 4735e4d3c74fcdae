//! How many bytes a listed item takes in an answer at most. Pages end by bytes, not only by items: a page of 500 items
//! with the largest labels would be an answer that no client takes, and memory that a caller decides about.
//!
//! The numbers are upper bounds of the protobuf encoding, so the sum over a page is one, too. A test beside the rendering
//! of each type compares them with what is really sent.

use std::collections::BTreeMap;

use credvault_domain::{Config, Connection, CredentialVersion, Requirement, Tenant, Tool, UserId};
use serde_json::Value;

use crate::{
    AccessUse, AuditRecord, ConfiguredService, Dependant, Erasure, EventDelivery, EventEndpoint, OAuthApp,
    User, Uses, Weighed,
};

/// What enums, numbers, flags, times and ids of any listed item take together.
const FIXED: usize = 512;
/// What stands around a text in a list or map: tags and lengths.
const FRAME: usize = 16;

fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    texts.into_iter().map(|text| text.len() + FRAME).sum()
}

fn list(list: &[String]) -> usize {
    texts(list.iter().map(String::as_str))
}

fn map(map: &BTreeMap<String, String>) -> usize {
    map.iter().map(|(name, value)| name.len() + value.len() + 2 * FRAME).sum()
}

fn optional(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

/// A value within a `google.protobuf.Struct`.
fn json(value: &Value) -> usize {
    FRAME
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(json).sum(),
            Value::Object(object) => {
                object.iter().map(|(name, value)| name.len() + FRAME + json(value)).sum()
            }
        }
}

/// Settings as a `google.protobuf.Struct`.
fn settings(config: &Config) -> usize {
    config.iter().map(|(name, value)| name.len() + FRAME + json(value)).sum()
}

/// What a fetched credential says of its connection.
pub fn weight_in_credential(connection: &Connection) -> usize {
    let config = settings(&connection.config);
    let words =
        [connection.provider.as_str(), connection.account_name.as_str(), connection.auth_mode.as_str()];
    let error = connection.error.as_ref();
    FIXED
        + config
        + texts(words)
        + texts(connection.owner.user().map(|user| user.as_str()))
        + error.map_or(0, |error| error.reason.len() + optional(error.code.as_ref()))
}

impl Weighed for Connection {
    fn weight(&self) -> usize {
        let labels: usize =
            self.labels.iter().map(|(name, value)| name.len() + value.len() + 2 * FRAME).sum();
        let ids = [&self.external_account_id, &self.found_account_id, &self.confirmed_account_id];
        weight_in_credential(self)
            + labels
            + ids.into_iter().map(|id| optional(id.as_ref())).sum::<usize>()
            + map(&self.confirmed_settings)
            + map(&self.hints)
            + list(&self.scopes_asked)
            + list(&self.scopes_granted)
    }
}

impl Weighed for CredentialVersion {
    fn weight(&self) -> usize {
        FIXED + map(&self.hints)
    }
}

impl Weighed for AuditRecord {
    fn weight(&self) -> usize {
        let optional_texts = [
            &self.service,
            &self.user,
            &self.owner_user,
            &self.provider,
            &self.purpose,
            &self.reason,
            &self.source_address,
        ];
        FIXED
            + texts([&self.tenant, &self.tenant_source, &self.action, &self.trace].map(String::as_str))
            + optional_texts.into_iter().map(|text| optional(text.as_ref())).sum::<usize>()
            + list(&self.changed)
            + list(&self.released)
            + list(&self.policies)
    }
}

impl Weighed for AccessUse {
    fn weight(&self) -> usize {
        FIXED
            + texts(
                [&self.service, &self.user, &self.action, &self.purpose, &self.provider].map(String::as_str),
            )
    }
}

impl Weighed for Tenant {
    fn weight(&self) -> usize {
        FIXED + texts([self.id.as_str(), self.display_name.as_str()])
    }
}

impl Weighed for (Dependant, Uses) {
    fn weight(&self) -> usize {
        let (dependant, _) = self;
        let user = dependant.user.as_ref().map_or("", UserId::as_str);
        FIXED
            + texts([
                dependant.tenant.as_str(),
                dependant.provider.as_str(),
                user,
                dependant.service.as_str(),
            ])
    }
}

impl Weighed for Erasure {
    fn weight(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| key.root_key.len() + 2 * FRAME).sum();
        let statement = self.statement.as_ref();
        let signed = statement.map_or(0, |signed| {
            texts([signed.text.as_str(), signed.signing_key.as_str()]) + signed.signature.len()
        });
        let stores: usize = self.stores.iter().map(|store| store.store.len() + 3 * FRAME).sum();
        let named = texts([self.tenant.as_str(), self.service.as_str()]) + list(&self.waits_for);
        FIXED + named + keys + stores + signed
    }
}

impl Weighed for User {
    fn weight(&self) -> usize {
        FIXED + self.id.as_str().len()
    }
}

impl Weighed for OAuthApp {
    fn weight(&self) -> usize {
        FIXED
            + texts([
                self.place.provider().as_str(),
                self.place.server().unwrap_or_default(),
                self.client_id.as_str(),
                self.redirect_uri.as_str(),
            ])
            + list(&self.scopes)
            + map(&self.settings)
            + map(&self.hints)
    }
}

impl Weighed for EventEndpoint {
    fn weight(&self) -> usize {
        FIXED
            + texts([self.url.as_str(), self.description.as_str()])
            + texts(self.types.iter().map(|kind| kind.as_str()))
            + optional(self.failure.as_ref())
    }
}

impl Weighed for EventDelivery {
    fn weight(&self) -> usize {
        FIXED + texts([self.kind.as_str(), self.body.as_str()]) + optional(self.failure.as_ref())
    }
}

impl Weighed for ConfiguredService {
    fn weight(&self) -> usize {
        let Self { config, connections } = self;
        let mappings = config.mappings.iter().map(|mapping| {
            let shown = connections.iter().find(|shown| shown.id == mapping.connection);
            let error = shown.and_then(|shown| shown.error.as_ref()).map_or(0, |error| error.reason.len());
            let failing =
                shown.and_then(|shown| shown.failing.as_ref()).map_or(0, |error| error.reason.len());
            FIXED
                + settings(&mapping.settings)
                + texts([mapping.name.as_str(), mapping.provider.as_str()])
                + texts(shown.map(|shown| shown.account_name.as_str()))
                + error.max(failing)
        });
        FIXED
            + texts([config.service.as_str()])
            + texts(config.owner.user().map(|user| user.as_str()))
            + mappings.sum::<usize>()
    }
}

impl Weighed for Tool {
    fn weight(&self) -> usize {
        let requirement = |requirement: &Requirement| {
            let account = requirement.account.as_ref().map(|name| name.as_str());
            FRAME
                + texts([requirement.provider.as_str()])
                + texts(requirement.auth_modes.iter().map(|mode| mode.as_str()))
                + list(&requirement.scopes)
                + texts(account)
        };
        FIXED
            + texts([self.name.as_str(), self.description.as_str()])
            + self.requirements.iter().map(requirement).sum::<usize>()
    }
}
