//! Sends batches, a few at once. A batch that the vault could not take is sent again: it recognises what it has.

use credvault_domain::Reason;
use tokio::task::{JoinError, JoinSet};
use tonic::{Code, Status};

use super::arguments::ImportArgs;
use super::names::{Names, name_of};
use super::report::{OF_THE_TENANT, Outcome, Report};
use crate::cli::attempts::{Attempts, Next, passes};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::grpc::reason_of;
use credvault_proto::v1;

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

type Answer = Result<v1::ImportConnectionsResponse, Status>;
type Ended = Result<(Vec<u64>, Answer), JoinError>;

/// Sends batches, a few at once.
pub(super) struct Sender {
    client: Client,
    mode: v1::ImportMode,
    validate_only: bool,
    at_once: usize,
    /// Batches on their way; in a dry run with the names of their items.
    in_flight: JoinSet<(Vec<u64>, Answer)>,
    /// The tenant of the profile; empty where a token names it.
    tenant: String,
    /// The columns that name the tenant of a row.
    tenant_columns: String,
    names: Names,
}

impl Sender {
    pub(super) fn new(
        client: Client,
        arguments: &ImportArgs,
        tenant: Option<String>,
        tenant_columns: String,
    ) -> Self {
        let mode = if arguments.update { v1::ImportMode::Replace } else { v1::ImportMode::Keep };
        let at_once = usize::from(arguments.concurrency);
        Self {
            client,
            mode,
            validate_only: arguments.dry_run,
            at_once,
            in_flight: JoinSet::new(),
            tenant: tenant.unwrap_or_default(),
            tenant_columns,
            names: Names::default(),
        }
    }

    /// Sends a batch, once fewer than may be are in flight.
    pub(super) async fn send(
        &mut self,
        target: &Target,
        items: Vec<v1::ImportItem>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        self.settle(self.at_once - 1, report).await?;
        let (client, tenant) = match target {
            Target::Profile => (self.client.clone(), self.tenant.as_str()),
            Target::Tenant(tenant) => (self.client.acting_for(tenant)?, tenant.as_str()),
            Target::Platform => (self.client.for_platform(), ""),
        };
        let (mode, validate_only) = (self.mode.into(), self.validate_only);
        let named = items.iter().filter(|_| validate_only);
        let names: Vec<u64> = named.map(|item| name_of(tenant, item)).collect();
        let request = v1::ImportConnectionsRequest { items, mode, validate_only };
        let columns = matches!(target, Target::Tenant(_)).then(|| self.tenant_columns.clone());
        self.in_flight.spawn(async move { (names, sent(client, request, columns).await) });
        Ok(())
    }

    /// Waits until no more than `most` batches are in flight.
    pub(super) async fn settle(&mut self, most: usize, report: &mut Report) -> Result<(), Failure> {
        let mut failed = None;
        while self.in_flight.len() > most {
            let Some(ended) = self.in_flight.join_next().await else { break };
            // What the other batches did is still counted.
            failed = failed.or(self.note(ended, report)?);
        }
        failed.map_or(Ok(()), |status| Err(status.into()))
    }

    /// Notes the answers that have come: a row that is stored must be in the journal soon.
    pub(super) fn note_answers(&mut self, report: &mut Report) -> Result<(), Failure> {
        let mut failed = None;
        while let Some(ended) = self.in_flight.try_join_next() {
            failed = failed.or(self.note(ended, report)?);
        }
        failed.map_or(Ok(()), |status| Err(status.into()))
    }

    /// Notes what became of one batch; gives the status of one that failed.
    fn note(&mut self, ended: Ended, report: &mut Report) -> Result<Option<Status>, Failure> {
        let (names, answer) = ended.map_err(|error| Failure::Unexpected(error.into()))?;
        match answer {
            Ok(mut answer) => {
                self.names.take(&names, &mut answer.results);
                report.answered(&answer.results)?;
                report.lack_apps(answer.providers_without_app);
                Ok(None)
            }
            Err(status) => Ok(Some(status)),
        }
    }

    /// Stores an app, unless its provider has one already and nothing is to be replaced. If the vault refuses it, the rows
    /// beside it are imported nevertheless.
    pub(super) async fn put_app(
        &mut self,
        source: &str,
        request: v1::PutOAuthAppRequest,
        report: &mut Report,
    ) -> Result<(), Failure> {
        match self.app(request).await {
            Ok((outcome, rule)) => report.note(source, outcome, "", rule),
            Err(status) if passes(&status) => Err(status.into()),
            Err(status) => {
                let status = explained(status);
                let reason = reason_of(&status).unwrap_or_default();
                report.note(source, Outcome::Refused, &reason, status.message())
            }
        }
    }

    /// What became of an app, and the rule that it breaks if it was refused here.
    async fn app(&self, request: v1::PutOAuthAppRequest) -> Result<(Outcome, &'static str), Status> {
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
                return Ok((Outcome::Refused, "the provider has another app already; --update replaces it"));
            }
            Some(_) if self.mode == v1::ImportMode::Keep => {
                return Ok((Outcome::Unchanged, ""));
            }
            Some(_) | None => {}
        }
        if !self.validate_only {
            client.admin().put_o_auth_app(request).await?;
        }
        Ok((if there.is_some() { Outcome::Replaced } else { Outcome::Created }, ""))
    }
}

/// Sends one batch until the vault has taken it or refused it. `columns`: those that name its tenant, if rows do.
async fn sent(client: Client, request: v1::ImportConnectionsRequest, columns: Option<String>) -> Answer {
    let mut attempts = Attempts::few();
    loop {
        let answer = client.connections().import_connections(request.clone()).await;
        let status = match answer {
            Ok(answer) => {
                let v1::ImportConnectionsResponse { results, providers_without_app } = answer.into_inner();
                let results = advised(results, &request);
                return Ok(v1::ImportConnectionsResponse { results, providers_without_app });
            }
            Err(status) => status,
        };
        if is_the_rows_own(&status, &request) {
            let status = of_columns(status, columns.as_deref());
            let results = request.items.iter().map(|item| refused(item, &status)).collect();
            return Ok(v1::ImportConnectionsResponse { results, providers_without_app: Vec::new() });
        }
        match attempts.after(&status).await {
            Next::Again => {}
            Next::Over => return Err(over(&status)),
            Next::Refused => return Err(explained(status)),
        }
    }
}

/// What a batch ends with after the last attempt. The vault recognises what it has, so a repetition does no harm.
fn over(status: &Status) -> Status {
    let message = format!("{}; run the same command again", status.message());
    Status::with_details(Code::Unavailable, message, status.details().to_vec().into())
}

/// A refusal of a tenant that rows name, with the columns that do: the report has the row, and not the tenant.
fn of_columns(status: Status, columns: Option<&str>) -> Status {
    let of_the_tenant = |_: &&str| reason_of(&status).is_some_and(|it| OF_THE_TENANT.contains(&it.as_str()));
    match columns.filter(of_the_tenant) {
        Some(columns) => more(&status, &format!("; the row's column {columns} names the tenant")),
        None => status,
    }
}

/// A refusal of a caller that names no tenant, with what an import needs.
fn explained(status: Status) -> Status {
    if reason_of(&status).as_deref() != Some("TENANT_MISSING") {
        return status;
    }
    more(
        &status,
        "; what is for the platform needs a profile whose policy permits ActForPlatform, such as \
         credvault-dev/operator.toml; or give --tenant and --owner tenant",
    )
}

fn more(status: &Status, text: &str) -> Status {
    let message = format!("{}{text}", status.message());
    Status::with_details(status.code(), message, status.details().to_vec().into())
}

/// The vault's results, with what to do in an import. A row without a credential may lack the settings that stood in it.
fn advised(
    mut results: Vec<v1::ImportResult>,
    request: &v1::ImportConnectionsRequest,
) -> Vec<v1::ImportResult> {
    for (result, item) in results.iter_mut().zip(&request.items) {
        let Some(error) = result.error.as_mut() else { continue };
        if error.reason == Reason::ConnectionExists.as_str() {
            error
                .message
                .push_str("; in an import, columns.account in the map names the column of that name");
        }
        if error.reason == "FIELDS_INVALID" && item.credential.is_none() {
            error
                .message
                .push_str("; the row has no credential: connect the account anew, or leave the row out");
        }
    }
    results
}

/// Whether a refused batch tells about its rows: their tenant is not there, the tenant is full, or the only row is too
/// large.
fn is_the_rows_own(status: &Status, request: &v1::ImportConnectionsRequest) -> bool {
    let reason = reason_of(status).unwrap_or_default();
    OF_THE_TENANT.contains(&reason.as_str())
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
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_given_up_may_be_sent_by_another_command() {
        let broken = Status::from_error(Box::new(std::io::Error::other("the connection broke")));
        let over = over(&broken);
        assert_eq!(over.code(), Code::Unavailable);
        assert!(over.message().ends_with("; run the same command again"), "{over:?}");
    }

    #[test]
    fn a_refused_row_without_a_credential_says_what_to_do() {
        let item = v1::ImportItem::default();
        let mut result = refused(&item, &Status::invalid_argument("store_url must be given"));
        let error = result.error.as_mut().expect("an error");
        error.reason = "FIELDS_INVALID".to_owned();
        let request = v1::ImportConnectionsRequest { items: vec![item], ..Default::default() };
        let advised = advised(vec![result], &request);
        let message = &advised[0].error.as_ref().expect("an error").message;
        assert!(message.contains("connect the account anew"), "{message}");
    }
}
