//! The request that refreshes tokens, filled from the catalog, and what is stored of the tokens that were granted.

use std::collections::BTreeMap;

use credvault_catalog::{Flow, Given, Granted, Mode, ProviderRequest};
use credvault_domain::{Config, TenantId, Timestamp};
use credvault_store::{AppFault, AppRevision, Claimed, Error, Pause, RefreshedTokens, UsableApp};
use serde_json::Value;

use super::backoff::FIRST_BACKOFF;
use super::failed::Failed;
use super::worker::Worker;
use crate::assertion::{ProofError, refresh_request};
use crate::flow::{app_values, flow_defaults, replace_tokens, with_scope};
use crate::grant::grant;
use crate::schedule::due_time;

/// A request that is ready to be sent.
pub(super) struct Request {
    pub(super) request: ProviderRequest,
    pub(super) app: UsedApp,
}

/// The app that a request is made with.
pub(super) struct UsedApp {
    pub(super) id: Option<String>,
    pub(super) revision: AppRevision,
    /// The tenant whose own app it is; `None` for the platform's.
    pub(super) tenant: Option<TenantId>,
}

impl UsedApp {
    fn of(usable: Option<&UsableApp>) -> Self {
        Self {
            id: usable.map(|usable| usable.app.client_id.clone()),
            revision: usable.map_or(AppRevision::NONE, |usable| usable.revision),
            tenant: usable
                .map(|usable| usable.namespace.clone())
                .filter(|namespace| !namespace.is_platform()),
        }
    }
}

impl Worker {
    /// Fills the request of a claim.
    pub(super) async fn request(&self, claimed: &Claimed, mode: &Mode) -> Result<Request, Failed> {
        let now = self.parts.clock.now();
        let usable = self.usable_app(claimed, now).await?;
        let app = UsedApp::of(usable.as_ref());
        let app_fault = |fault, detail: &str| Failed::app(fault, app.revision, now, detail.to_owned());
        // Without an app nothing is sent: a provider that accepted the tokens without the app's own proof would accept them
        // from a thief, too.
        if usable.is_none() && mode.oauth().is_some_and(|oauth| !oauth.client_per_connection) {
            return Err(app_fault(AppFault::Missing, "there is no app"));
        }
        if claimed.client_id.is_some() && app.id.is_some() && claimed.client_id != app.id {
            // The provider would refuse another app's refresh token, and a live connection would be taken for dead.
            let detail = "the tokens were issued to another app than the stored one";
            return Err(app_fault(AppFault::Other, detail));
        }
        // A setting or field of the connection that its owner has to give.
        let incomplete =
            |detail: String| Failed::paused(Pause::Incomplete, self.backoff(claimed.failures), now, detail);
        let (values, flow) = (usable.as_ref().map(app_values), self.flow(claimed, mode, now));
        let (config, secrets) = (&claimed.connection.config, &claimed.fields);
        let given = Given { config, secrets, app: values.as_ref(), flow: &flow };
        let Some(refresh) = mode.refresh() else {
            return Err(incomplete("the auth mode has no request to refresh".to_owned()));
        };
        let request = refresh_request(mode, refresh, given, now).map_err(|error| match error {
            ProofError::Missing(missing) if missing.is_apps() => {
                app_fault(AppFault::Missing, &format!("the app has no {missing}"))
            }
            ProofError::Missing(missing) => incomplete(format!("{missing} is missing")),
            // Keys are tried before they are stored, so only another key helps.
            ProofError::Key(error) => incomplete(format!("the private key {error}")),
        })?;
        Ok(Request { request, app })
    }

    async fn usable_app(&self, claimed: &Claimed, now: Timestamp) -> Result<Option<UsableApp>, Failed> {
        let connection = &claimed.connection;
        let place = self.parts.app_place(&connection.provider, &connection.config);
        let usable = self.parts.store.apps().usable_at(&claimed.key, &place).await;
        usable.map_err(|error| {
            let detail = error.to_string();
            if matches!(error, Error::Integrity) {
                Failed::integrity(now, detail)
            } else {
                Failed::paused(Pause::Vault, FIRST_BACKOFF, now, detail)
            }
        })
    }

    fn flow(&self, claimed: &Claimed, mode: &Mode, now: Timestamp) -> Flow {
        let flow = flow_defaults(now, &*self.parts.random);
        match mode.oauth() {
            Some(oauth) => {
                with_scope(flow, &oauth.scopes.asked(&claimed.connection.scopes_asked), &oauth.scopes)
            }
            None => flow,
        }
    }

    /// What is stored of the tokens that were granted for a request sent at `sent`.
    pub(super) fn refreshed(
        &self,
        claimed: &Claimed,
        mode: &Mode,
        granted: Granted,
        sent: Timestamp,
        client_id: Option<String>,
    ) -> RefreshedTokens {
        let mut fields = claimed.fields.clone();
        replace_tokens(&mut fields, &granted);
        let random = &*self.parts.random;
        let plain = |scope: &String| !scope.chars().any(char::is_control);
        RefreshedTokens {
            grant: grant(mode, &fields, granted.expires, granted.refresh_expires, sent),
            fields,
            expire_time: granted.expires,
            due_time: due_time(mode, granted.expires, granted.refresh_expires, sent, random),
            settings: accepted_settings(claimed, mode, &granted),
            scopes: granted.scopes.map(|scopes| scopes.into_iter().filter(plain).collect()),
            client_id,
        }
    }
}

/// The settings that came with tokens, as the catalog has accepted them. Settings decide where secrets are sent, so the
/// catalog must accept them as if a caller had given them; otherwise none of them counts.
fn accepted_settings(claimed: &Claimed, mode: &Mode, granted: &Granted) -> BTreeMap<String, Value> {
    let mut merged = claimed.connection.config.clone().into_object();
    merged.extend(granted.settings.clone());
    let merged = Config::new(merged).ok().and_then(|config| mode.accepted_config("config", config).ok());
    let Some(merged) = merged else {
        tracing::warn!(
            connection = %claimed.key.connection(),
            "settings that came with new tokens are not acceptable and were left out"
        );
        return BTreeMap::new();
    };
    let stored = |name: &String| Some((name.clone(), merged.get(name)?.clone()));
    granted.settings.keys().filter_map(stored).collect()
}
