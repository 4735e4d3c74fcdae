//! The call that ends a key.

use std::time::Duration;

use credvault_catalog::{Given, Mint, Mode, RefusalKind, RevocationCall, Verdict};
use credvault_store::{Error, KeyEnd, KeyToEnd};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::flow::{app_values, flow_defaults};
use crate::incidents::Asked;

/// How long a call waits for its turn among the others at the provider.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// When a call is made that had no turn, or that the provider did not want without saying until when.
const LATER: Duration = Duration::from_secs(120);
/// The longest pause that a provider may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// What the provider has answered.
enum Said {
    /// The attempt has come out so.
    Done(KeyEnd),
    /// The credential may not end this key, or is not accepted.
    Forbidden,
    /// The account that has asked has no such key, or not any more.
    NotFound,
}

impl Broker {
    /// Has the provider end a key: with the credential that serves, or with the key itself if there is none, or if the one that
    /// serves may not or does not find it. A key counts as ended only if a call has ended it, or its own test says so. It counts among the calls that the vault makes at the provider in a second.
    ///
    /// # Errors
    /// The vault's own database failed.
    pub async fn end_key(&self, to_end: &KeyToEnd, mode: &Mode, mint: &Mint) -> Result<KeyEnd, Error> {
        let connection = &to_end.connection;
        let Some(ending) = mint.end_call(to_end.replaced) else { return Ok(KeyEnd::ByHand) };
        if mode.check_destinations(&connection.config).is_err() {
            return Ok(KeyEnd::ByHand);
        }
        let place = self.app_place(&connection.provider, &connection.config);
        let usable = self.store().apps().usable_at(&to_end.key, &place).await?;
        let app = usable.as_ref().map(app_values);
        let flow = flow_defaults(self.clock().now(), self.random());
        let flow = match mode.key_id(mint, &connection.config, &to_end.fields) {
            Some(id) => flow.with("old_key_id", id),
            None => flow,
        };
        let itself =
            Given { config: &connection.config, secrets: &to_end.fields, app: app.as_ref(), flow: &flow };
        let serving = to_end.serving.as_ref().map(|serving| Given { secrets: serving, ..itself });
        let mut said = self.ask_to_end(to_end, mode, ending, serving.unwrap_or(itself)).await?;
        if let Said::Done(end) = said {
            return Ok(end);
        }
        // Its own account says so: the credential that serves may be another account's.
        if self.is_dead(mode, itself).await {
            return Ok(KeyEnd::Ended);
        }
        // Without the key's id, the call would mean the key that serves.
        if serving.is_some() && ending.names_key() {
            said = self.ask_to_end(to_end, mode, ending, itself).await?;
        }
        Ok(match said {
            Said::Done(end) => end,
            // There is nothing that it could be done with.
            Said::NotFound if !ending.names_key() => KeyEnd::ByHand,
            Said::Forbidden | Said::NotFound => KeyEnd::Pending,
        })
    }

    /// Sends the call that ends a key, when it has its turn.
    async fn ask_to_end(
        &self,
        to_end: &KeyToEnd,
        mode: &Mode,
        ending: &RevocationCall,
        given: Given<'_>,
    ) -> Result<Said, Error> {
        let (connection, tenant) = (&to_end.connection, to_end.key.tenant());
        // What is missing, such as the id of a key that a caller stored, will not be there later either.
        let Ok(request) = mode.request(&ending.call, given) else { return Ok(Said::Done(KeyEnd::ByHand)) };
        let provider = &connection.provider;
        if !self.refresher().take_call(provider, tenant, Instant::now() + PATIENCE).await? {
            return Ok(Said::Done(KeyEnd::Later(LATER)));
        }
        let answer = self.http().send(request).await;
        let heard = match &answer {
            Ok(answer) if answer.status >= 500 => Err(Some(RefusalKind::Outage)),
            Ok(_) => Ok(()),
            Err(_) => Err(None),
        };
        let config = &connection.config;
        self.refresher().heard(Asked { provider, tenant, mode, config, call: &ending.call }, heard);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(connection = %connection.id, %error, "the revocation of a key failed");
                return Ok(Said::Done(KeyEnd::Pending));
            }
        };
        if ending.has_revoked(answer.status, &answer.body) {
            return Ok(Said::Done(KeyEnd::Ended));
        }
        tracing::info!(connection = %connection.id, status = answer.status, "a key was not revoked");
        if ending.succeeded(answer.status, &answer.body) {
            return Ok(Said::NotFound);
        }
        Ok(match (answer.status, answer.retry_after) {
            (401 | 403, _) => Said::Forbidden,
            (404, _) => Said::NotFound,
            (_, Some(pause)) => Said::Done(KeyEnd::Later(pause.clamp(LATER, LONGEST_PAUSE))),
            (429, None) => Said::Done(KeyEnd::Later(LATER)),
            (_, None) => Said::Done(KeyEnd::Pending),
        })
    }

    /// Whether the provider says that it does not accept a credential any more.
    pub(crate) async fn is_dead(&self, mode: &Mode, given: Given<'_>) -> bool {
        let Some(test) = &mode.test else { return false };
        let Ok(request) = mode.request(&test.call, given) else { return false };
        let answer = self.http().send(request).await;
        answer.is_ok_and(|answer| test.read(answer.status, &answer.body) == Verdict::Refused)
    }
}
