//! Which records of the audit log are meant.

use clap::{Args, ValueEnum};

use crate::cli::client::Client;
use crate::cli::completion::{actions_completer, connections_completer, providers_completer};
use crate::cli::failure::Failure;
use crate::cli::lookup::connection_id;
use crate::cli::times::past;
use credvault_proto::v1;

/// A record must match every option that is given.
#[derive(Args, Debug)]
pub(super) struct FilterArgs {
    /// Only records from this day or instant on, in UTC, or of the last minutes, hours or days, such as 90m, 1h or 2d.
    #[arg(long, value_name = "TIME", value_parser = past)]
    since: Option<prost_types::Timestamp>,
    /// Only records before this day or instant, in UTC, or before so many minutes, hours or days ago.
    #[arg(long, value_name = "TIME", value_parser = past)]
    until: Option<prost_types::Timestamp>,
    /// Only calls of the service with this SPIFFE ID; `vault` for the vault's own work.
    #[arg(long, value_name = "SPIFFE_ID", default_value = "")]
    service: String,
    /// Only calls for this user. `--user` says for whom this call is, and chooses none.
    #[arg(long, value_name = "USER", default_value = "")]
    of_user: String,
    /// Only calls of this RPC, such as `FetchCredential`.
    #[arg(long, value_name = "RPC", default_value = "", add = actions_completer())]
    action: String,
    /// Only calls about this connection. One that was deleted is named by its id.
    #[arg(long, value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: Option<String>,
    /// Only calls about connections at this provider.
    #[arg(long, default_value = "", add = providers_completer())]
    provider: String,
    /// Only calls with this outcome.
    #[arg(long, value_enum)]
    outcome: Option<OutcomeArg>,
    /// Only calls that were refused or failed for this reason, such as `POLICY_DENIED`.
    #[arg(long, value_name = "REASON", default_value = "")]
    reason: String,
    /// Only calls with exactly this purpose.
    #[arg(long, value_name = "PURPOSE", default_value = "")]
    purpose: String,
    /// Only calls whose tenant this vouched for: token, assertion, header, state, session or none.
    #[arg(long, value_name = "SOURCE", default_value = "")]
    tenant_source: String,
    /// Only calls from this IP address.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    source_address: String,
    /// Only records of the trace with this id, as answers, errors and logs name it.
    #[arg(long, value_name = "TRACE_ID", default_value = "")]
    trace_id: String,
    /// Only calls about what this user owns.
    #[arg(long, value_name = "USER", default_value = "")]
    owner_user: String,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum OutcomeArg {
    /// The call did what was asked.
    Ok,
    /// The caller was refused.
    Denied,
    /// The call could not be carried out.
    Failed,
}

impl OutcomeArg {
    fn outcome(self) -> v1::AuditOutcome {
        match self {
            Self::Ok => v1::AuditOutcome::Ok,
            Self::Denied => v1::AuditOutcome::Denied,
            Self::Failed => v1::AuditOutcome::Failed,
        }
    }
}

impl FilterArgs {
    /// The filter as the wire has it. The vault is asked for the id of a connection that is named otherwise.
    pub(super) async fn filter(&self, client: &Client) -> Result<v1::AuditFilter, Failure> {
        let connection_id = match &self.connection {
            Some(named) => connection_id(client, named, false).await?,
            None => String::new(),
        };
        let outcome = self.outcome.map_or(v1::AuditOutcome::Unspecified, OutcomeArg::outcome);
        Ok(v1::AuditFilter {
            start_time: self.since,
            end_time: self.until,
            service: self.service.clone(),
            user_id: self.of_user.clone(),
            action: self.action.clone(),
            connection_id,
            outcome: outcome.into(),
            provider: self.provider.clone(),
            reason: self.reason.clone(),
            purpose: self.purpose.clone(),
            tenant_source: self.tenant_source.clone(),
            source_address: self.source_address.clone(),
            trace_id: self.trace_id.clone(),
            owner_user_id: self.owner_user.clone(),
        })
    }
}
