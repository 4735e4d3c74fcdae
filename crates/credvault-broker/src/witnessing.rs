//! Checkpoints of the audit logs that grow, though none asks for one, and the witnesses that cosign them. What fails here holds
//! up no record and no call: it is tried again at the next turn.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::{TenantId, chain};
use credvault_store::{Error, WitnessAsked, WitnessRequest};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::every::every;

/// How often a witness is asked about one checkpoint: once more after it has said from where it wants the proof.
const TRIES: usize = 2;

impl Broker {
    /// Signs the newest state of every tenant's log once every `interval`, on the replica that sequences, and has the witnesses
    /// cosign it, until `end`.
    pub async fn run_checkpoints(&self, interval: Duration, end: CancellationToken) {
        if let Some(Err(error)) = end.run_until_cancelled(self.store().check_audit_name()).await {
            tracing::warn!(
                error = chain(&error),
                "the name of the vault in checkpoints could not be compared"
            );
        }
        let mut ticks = every(interval, &end);
        while ticks.next().await.is_some() {
            if let Some(Err(error)) = end.run_until_cancelled(self.sign_logs()).await {
                let error = chain(&error);
                tracing::warn!(error, "checkpoints of audit logs could not be signed; it is tried again");
            }
        }
    }

    async fn sign_logs(&self) -> Result<(), Error> {
        if !self.store().sequences().await? {
            return Ok(());
        }
        // A witness that is away is asked about one log, and not about thousands.
        let mut away = BTreeSet::new();
        let mut tenants = self.store().tenants_behind(None).await?;
        while let Some(last) = tenants.last().cloned() {
            for tenant in &tenants {
                // One log that was altered must not keep the others.
                if let Err(error) = self.sign_log(tenant, &mut away).await {
                    let error = chain(&error);
                    tracing::warn!(error, %tenant, "the newest state of an audit log could not be signed");
                }
            }
            tenants = self.store().tenants_behind(Some(&last)).await?;
        }
        Ok(())
    }

    async fn sign_log(&self, tenant: &TenantId, away: &mut BTreeSet<String>) -> Result<(), Error> {
        let mut requests = self.store().witness_requests(tenant).await?;
        requests.retain(|request| !away.contains(request.witness()));
        let asked = join_all(requests.into_iter().map(|request| self.ask_witness(request))).await;
        away.extend(asked.into_iter().flatten());
        Ok(())
    }

    /// Asks a witness, and gives its name if it has not answered.
    async fn ask_witness(&self, mut request: WitnessRequest) -> Option<String> {
        let (witness, tenant) = (request.witness().to_owned(), request.tenant().clone());
        let mut failure = "it wants the proof from elsewhere each time".to_owned();
        let mut is_away = false;
        for _ in 0..TRIES {
            let (status, body) = match self.http().post_text(&request.url(), request.body().to_owned()).await
            {
                Ok(answer) => answer,
                Err(error) => {
                    (failure, is_away) = (error.to_string(), true);
                    break;
                }
            };
            match self.store().witness_answered(&request, status, &body).await {
                Ok(WitnessAsked::Cosigned) => {
                    count("cosigned");
                    return None;
                }
                Ok(WitnessAsked::Again(again)) => request = *again,
                Ok(WitnessAsked::Failed(why)) => {
                    failure = why;
                    break;
                }
                Err(error) => {
                    failure = chain(&error);
                    break;
                }
            }
        }
        count("failed");
        tracing::warn!(witness, %tenant, failure, "a witness has not cosigned a checkpoint; it is asked again");
        is_away.then_some(witness)
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("credvault_audit_cosignatures_total", "outcome" => outcome).increment(1);
}
