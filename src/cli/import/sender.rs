//! Sends batches, a few at once. A batch that the vault could not take is sent again: it recognises what it has.

use std::time::Duration;

use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::arguments::ImportArgs;
use super::report::{Outcome, Report};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::grpc::reason_of;
use credvault_proto::v1;

/// How often a batch is sent, where the vault says that another attempt may help.
const ATTEMPTS: u32 = 8;
/// The first pause before another attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// In whose name a batch is sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    /// As the profile says.
    Profile,
    /// For the tenant that the rows name.
    Tenant(String),
    /// For no tenant: the platform's own.
    Platform,
}

type Answer = Result<Vec<v1::ImportResult>, Status>;

/// Sends batches, a few at once.
pub(super) struct Sender {
    client: Client,
    mode: v1::ImportMode,
    validate_only: bool,
    at_once: usize,
    in_flight: JoinSet<Answer>,
}

impl Sender {
    pub(super) fn new(client: Client, arguments: &ImportArgs) -> Self {
        let mode = if arguments.update { v1::ImportMode::Replace } else { v1::ImportMode::Keep };
        let at_once = usize::from(arguments.concurrency);
        Self { client, mode, validate_only: arguments.dry_run, at_once, in_flight: JoinSet::new() }
    }

    /// Sends a batch, once fewer than may be are in flight.
    pub(super) async fn send(
        &mut self,
        target: &Target,
        items: Vec<v1::ImportItem>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        self.settle(self.at_once - 1, report).await?;
        let client = match target {
            Target::Profile => self.client.clone(),
            Target::Tenant(tenant) => self.client.acting_for(tenant)?,
            Target::Platform => self.client.for_platform(),
        };
        let (mode, validate_only) = (self.mode.into(), self.validate_only);
        let request = v1::ImportConnectionsRequest { items, mode, validate_only };
        self.in_flight.spawn(sent(client, request));
        Ok(())
    }

    /// Waits until no more than `most` batches are in flight.
    pub(super) async fn settle(&mut self, most: usize, report: &mut Report) -> Result<(), Failure> {
        while self.in_flight.len() > most {
            let Some(ended) = self.in_flight.join_next().await else { break };
            let answer = ended.map_err(|error| Failure::Unexpected(error.into()))?;
            report.answered(&answer?)?;
        }
        Ok(())
    }

    /// Stores an app, unless its provider has one already and nothing is to be replaced.
    pub(super) async fn put_app(
        &mut self,
        source: &str,
        request: v1::PutOAuthAppRequest,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let list = v1::ListOAuthAppsRequest {
            tenant_id: request.tenant_id.clone(),
            page_size: 500,
            ..Default::default()
        };
        let client = self.client.for_platform();
        let apps = client.admin().list_o_auth_apps(list).await?.into_inner().apps;
        let there = apps.iter().find(|app| app.provider == request.provider);
        match there {
            Some(app) if app.client_id != request.client_id && self.mode == v1::ImportMode::Keep => {
                let rule = "the provider has another app already; --update replaces it";
                return report.note(source, Outcome::Refused, "", rule);
            }
            Some(_) if self.mode == v1::ImportMode::Keep => {
                return report.note(source, Outcome::Unchanged, "", "");
            }
            Some(_) | None => {}
        }
        if !self.validate_only {
            client.admin().put_o_auth_app(request).await?;
        }
        let outcome = if there.is_some() { Outcome::Replaced } else { Outcome::Created };
        report.note(source, outcome, "", "")
    }
}

/// Sends one batch until the vault has taken it or refused it.
async fn sent(client: Client, request: v1::ImportConnectionsRequest) -> Answer {
    let mut attempt = 1;
    loop {
        let answer = client.connections().import_connections(request.clone()).await;
        let status = match answer {
            Ok(answer) => return Ok(answer.into_inner().results),
            Err(status) => status,
        };
        if is_the_rows_own(&status, &request) {
            return Ok(request.items.iter().map(|item| refused(item, &status)).collect());
        }
        let passes = match status.code() {
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted => true,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => false,
        };
        if !passes || attempt == ATTEMPTS {
            return Err(status);
        }
        let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let pause = PAUSE.saturating_mul(1 << (attempt - 1)).min(LONGEST_PAUSE);
        tokio::time::sleep(told.unwrap_or(pause).min(LONGEST_PAUSE)).await;
        attempt += 1;
    }
}

/// Whether a refused batch tells about its rows: their tenant is not there, the tenant is full, or the only row is too
/// large.
fn is_the_rows_own(status: &Status, request: &v1::ImportConnectionsRequest) -> bool {
    let of_the_tenant = ["TENANT_NOT_FOUND", "TENANT_SUSPENDED", "QUOTA_EXCEEDED"];
    let reason = reason_of(status).unwrap_or_default();
    of_the_tenant.contains(&reason.as_str())
        || (status.code() == Code::InvalidArgument && request.items.len() == 1)
}

fn refused(item: &v1::ImportItem, status: &Status) -> v1::ImportResult {
    let error = v1::ImportError {
        code: status.code().into(),
        reason: reason_of(status).unwrap_or_default(),
        message: status.message().to_owned(),
    };
    v1::ImportResult {
        source: item.source.clone(),
        outcome: v1::ImportOutcome::Refused.into(),
        connection_id: String::new(),
        error: Some(error),
    }
}
