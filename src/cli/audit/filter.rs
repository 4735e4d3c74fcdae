//! Which records of the audit log are meant.

use clap::{Args, ValueEnum};

use crate::cli::args::instant;
use credvault_proto::v1;

/// A record must match every option that is given.
#[derive(Args, Debug)]
pub(super) struct FilterArgs {
    /// Only records from this day or instant on, in UTC.
    #[arg(long, value_name = "DAY", value_parser = instant)]
    since: Option<prost_types::Timestamp>,
    /// Only records before this day or instant, in UTC.
    #[arg(long, value_name = "DAY", value_parser = instant)]
    until: Option<prost_types::Timestamp>,
    /// Only calls of the service with this SPIFFE ID; `vault` for the vault's own work.
    #[arg(long, value_name = "SPIFFE_ID", default_value = "")]
    service: String,
    /// Only calls for this user. `--user` says for whom this call is, and chooses none.
    #[arg(long, value_name = "USER", default_value = "")]
    of_user: String,
    /// Only calls of this RPC, such as `FetchCredential`.
    #[arg(long, value_name = "RPC", default_value = "")]
    action: String,
    /// Only calls about this connection, by its id.
    #[arg(long, value_name = "ID", default_value = "")]
    connection: String,
    /// Only calls about connections at this provider.
    #[arg(long, default_value = "")]
    provider: String,
    /// Only calls with this outcome.
    #[arg(long, value_enum)]
    outcome: Option<OutcomeArg>,
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
    /// The filter as the wire has it.
    pub(super) fn filter(&self) -> v1::AuditFilter {
        let outcome = self.outcome.map_or(v1::AuditOutcome::Unspecified, OutcomeArg::outcome);
        v1::AuditFilter {
            start_time: self.since,
            end_time: self.until,
            service: self.service.clone(),
            user_id: self.of_user.clone(),
            action: self.action.clone(),
            connection_id: self.connection.clone(),
            outcome: outcome.into(),
            provider: self.provider.clone(),
        }
    }
}
