//! `tenants change|change-all`: one change of many connections, page by page. A command that stops says what is done and
//! where another one continues.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use tonic::{Code, Status};

use super::asking::Prospect;
use super::outcomes::{TenantOutcome, print_changes, print_tenants};
use super::place::Place;
use super::selection::SelectionArgs;
use crate::cli::args::{ConfirmArgs, OutputArgs};
use crate::cli::attempts::{Attempts, Next};
use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::lookup::tenant_ids;
use crate::cli::output::Output;
use crate::cli::whose::Whose;
use crate::grpc::reason_of;
use credvault_proto::v1;

#[derive(ValueEnum, Clone, Copy, Debug)]
enum ChangeArg {
    Disable,
    Enable,
    Disconnect,
    Refresh,
    Test,
}

impl ChangeArg {
    /// Whether another command cannot take it back.
    fn is_final(self) -> bool {
        match self {
            Self::Disconnect => true,
            Self::Disable | Self::Enable | Self::Refresh | Self::Test => false,
        }
    }

    fn kind(self) -> v1::ConnectionChangeKind {
        match self {
            Self::Disable => v1::ConnectionChangeKind::Disable,
            Self::Enable => v1::ConnectionChangeKind::Enable,
            Self::Disconnect => v1::ConnectionChangeKind::Disconnect,
            Self::Refresh => v1::ConnectionChangeKind::Refresh,
            Self::Test => v1::ConnectionChangeKind::Test,
        }
    }
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ChangeArgs {
    /// The id of the tenant.
    tenant_id: String,
    #[command(flatten)]
    work: WorkArgs,
}

/// What to do with which connections.
#[derive(Args, Debug)]
pub(in crate::cli) struct WorkArgs {
    /// What to do with each connection.
    #[arg(value_enum)]
    kind: ChangeArg,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Change all connections; needed if nothing selects some.
    #[arg(long)]
    all: bool,
    /// Only report what would happen.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// Continue where the same command has stopped, with the token that it has printed.
    #[arg(long, value_name = "TOKEN", value_parser = Place::parse)]
    page_token: Option<Place>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl WorkArgs {
    /// Refuses to change everything by mistake.
    fn check(&self) -> Result<(), Failure> {
        if self.selection.is_empty() && !self.all {
            let way_out = "select some, for example with --provider, or give --all";
            return Err(Failure::Usage(format!("this would change all connections: {way_out}")));
        }
        Ok(())
    }

    /// Asks a person about a change that cannot be taken back, with what a dry run from a place on says about it.
    async fn ask(&self, client: &Client, from: &Place, tenants: &[String]) -> Result<(), Failure> {
        if !self.kind.is_final() || self.dry_run || self.confirm.is_given() {
            return Ok(());
        }
        let mut prospect = Prospect::default();
        for tenant in tenants {
            let mut place = if from.tenant == *tenant { from.clone() } else { from.at(tenant) };
            let mut tried = Vec::new();
            let ended = pages(
                async |place: &Place| next_page(client, &self.request(place, true)).await,
                &mut place,
                &mut tried,
            );
            match ended.await {
                // What a tenant refuses now it refuses again.
                Err(status) if !is_the_tenants_own(&status) || tenants.len() == 1 => {
                    return Err(status.into());
                }
                Ok(()) | Err(_) => prospect.add(&tried),
            }
        }
        match prospect.is_empty() {
            true => Ok(()),
            false => self.confirm.ask(&prospect.question(tenants)),
        }
    }

    /// The request of the page at a place.
    fn request(&self, place: &Place, dry_run: bool) -> v1::ChangeTenantConnectionsRequest {
        v1::ChangeTenantConnectionsRequest {
            tenant_id: place.tenant.clone(),
            kind: self.kind.kind().into(),
            selection: Some(self.selection.selection(place.now)),
            dry_run,
            page_size: 0,
            page_token: place.page_token.clone(),
        }
    }

    /// Works through a tenant from a place on. What is done is in `done`, also where it stops.
    async fn tenant(
        &self,
        client: &Client,
        place: &mut Place,
        done: &mut Vec<v1::ConnectionChange>,
    ) -> Result<(), Status> {
        pages(async |place: &Place| next_page(client, &self.request(place, self.dry_run)).await, place, done)
            .await
    }
}

/// Changes connections of one tenant.
pub(super) async fn one(arguments: ChangeArgs, output: &mut Output) -> Result<(), Failure> {
    let ChangeArgs { tenant_id, work } = arguments;
    work.check()?;
    let began = work.page_token.clone().unwrap_or_else(|| Place::beginning(&tenant_id));
    if began.tenant != tenant_id {
        return Err(Failure::Usage("--page-token is of a change of another tenant".to_owned()));
    }
    work.client.tenant_or(Some(&tenant_id))?;
    let client = work.client.connect().await?;
    work.ask(&client, &began, std::slice::from_ref(&tenant_id)).await?;
    let (mut place, mut done) = (began.clone(), Vec::new());
    let ended = work.tenant(&client, &mut place, &mut done).await;
    // What was refused at once has nothing to print.
    if ended.is_ok() || !done.is_empty() {
        print_changes(&done, (work.kind.kind(), &Whose::with_id(&tenant_id)), work.output.output, output)?;
    }
    ended.map_err(|status| stopped(&began, &place, status))?;
    if done.is_empty() {
        work.selection.check_provider(&client).await?;
    }
    match refused(&done) {
        0 => Ok(()),
        refused => {
            Err(Failure::Partly(format!("{refused} connections were refused; their rows have the reason")))
        }
    }
}

/// Changes connections of every tenant.
pub(super) async fn all(work: WorkArgs, output: &mut Output) -> Result<(), Failure> {
    work.check()?;
    if work.client.tenant().is_some() {
        let way_out = "`credvault tenants change` is for one tenant";
        return Err(Failure::Usage(format!("--tenant: this command is about every tenant; {way_out}")));
    }
    let client = work.client.connect().await?;
    let began = work.page_token.clone().unwrap_or_else(|| Place::beginning(""));
    let tenants = tenants(&client, &began).await?;
    work.ask(&client, &began, &tenants).await?;
    let mut place = began.clone();
    let (mut outcomes, mut refusals, mut failed) = (Vec::new(), Refusals::default(), None);
    for tenant in tenants {
        if place.tenant != tenant {
            place = place.at(&tenant);
        }
        let mut done = Vec::new();
        let ended = work.tenant(&client, &mut place, &mut done).await;
        let reason = ended.as_ref().err().map(|status| reason_of(status).unwrap_or_default());
        refusals.connections += refused(&done);
        refusals.looked_at += done.len();
        let kind = work.kind.kind();
        outcomes.push(TenantOutcome::of(tenant, kind, &done, reason.unwrap_or_default()));
        match ended {
            Err(status) if is_the_tenants_own(&status) => refusals.tenants += 1,
            Err(status) => {
                failed = Some(status);
                break;
            }
            Ok(()) => {}
        }
    }
    print_tenants(&outcomes, work.output.output, output)?;
    if let Some(status) = failed {
        return Err(stopped(&began, &place, status));
    }
    if refusals.looked_at == 0 {
        work.selection.check_provider(&client).await?;
    }
    refusals.failure().map_or(Ok(()), Err)
}

/// What was refused while all tenants were worked on.
#[derive(Default)]
struct Refusals {
    tenants: usize,
    connections: usize,
    /// How many connections there were at all.
    looked_at: usize,
}

impl Refusals {
    fn failure(&self) -> Option<Failure> {
        let rows = "the rows have the reason, or the count";
        let refused = match (self.tenants, self.connections) {
            (0, 0) => return None,
            (tenants, 0) => format!("{tenants} tenants"),
            (0, connections) => format!("{connections} connections"),
            (tenants, connections) => format!("{tenants} tenants and {connections} connections of others"),
        };
        Some(Failure::Partly(format!("{refused} were refused; {rows}")))
    }
}

/// How many connections the change was refused for.
fn refused(changes: &[v1::ConnectionChange]) -> usize {
    let is_refused =
        |change: &&v1::ConnectionChange| change.outcome() == v1::ConnectionChangeOutcome::Refused;
    changes.iter().filter(is_refused).count()
}

/// The ids of all tenants, in the vault's order, from a place on.
async fn tenants(client: &Client, from: &Place) -> Result<Vec<String>, Failure> {
    let mut all = tenant_ids(client).await?;
    if from.tenant.is_empty() {
        return Ok(all);
    }
    let begin = all.iter().position(|tenant| *tenant == from.tenant).ok_or_else(|| {
        let way_out = "run the command without it: what is done is unchanged then";
        Failure::Usage(format!("--page-token: its tenant is not there any more; {way_out}"))
    })?;
    Ok(all.split_off(begin))
}

/// Whether a refusal is about one tenant, so that the others can be worked on: it is gone, not this caller's, or damaged.
fn is_the_tenants_own(status: &Status) -> bool {
    matches!(status.code(), Code::NotFound | Code::PermissionDenied | Code::DataLoss)
}

/// Works off the pages of a tenant. `place` is that of the next page, also where asking for it fails.
async fn pages(
    ask: impl AsyncFn(&Place) -> Result<v1::ChangeTenantConnectionsResponse, Status>,
    place: &mut Place,
    done: &mut Vec<v1::ConnectionChange>,
) -> Result<(), Status> {
    let mut total = None;
    loop {
        let page = ask(&*place).await?;
        done.extend(page.changes);
        total = total.or(page.total);
        show_progress(&place.tenant, done.len(), total);
        place.page_token = page.next_page_token;
        if place.page_token.is_empty() {
            return Ok(());
        }
    }
}

/// Asks for a page until the vault has time for it.
async fn next_page(
    client: &Client,
    request: &v1::ChangeTenantConnectionsRequest,
) -> Result<v1::ChangeTenantConnectionsResponse, Status> {
    let mut attempts = Attempts::waiting_for_rates();
    loop {
        let refused = match client.admin().change_tenant_connections(request.clone()).await {
            Ok(page) => return Ok(page.into_inner()),
            Err(refused) => refused,
        };
        match attempts.after(&refused).await {
            Next::Again => {}
            Next::Over | Next::Refused => return Err(refused),
        }
    }
}

/// Says where another command continues, if this one has come further than it began. What the vault does not understand it
/// will not understand there either.
fn stopped(began: &Place, place: &Place, status: Status) -> Failure {
    if began != place && status.code() != Code::InvalidArgument {
        // If standard error is closed, the failure is not shown either.
        let _ =
            writeln!(std::io::stderr(), "stopped: continue with the same command and --page-token {place}");
    }
    status.into()
}

/// Shows on a terminal how far the work is.
fn show_progress(tenant: &str, done: usize, total: Option<i64>) {
    let mut terminal = std::io::stderr();
    if let Some(total) = total.filter(|_| terminal.is_terminal()) {
        // A terminal that does not take it changes nothing.
        let _ = write!(terminal, "\r{tenant}: {done} of {total} connections\x1b[K");
        if usize::try_from(total).is_ok_and(|total| done >= total) {
            let _ = writeln!(terminal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages, and a third that fails as often as it is asked for.
    async fn answer(place: &Place) -> Result<v1::ChangeTenantConnectionsResponse, Status> {
        let next = match place.page_token.as_str() {
            "" => "second",
            "second" => "third",
            _ => return Err(Status::unavailable("the vault is away")),
        };
        let changes = vec![v1::ConnectionChange::default()];
        Ok(v1::ChangeTenantConnectionsResponse {
            changes,
            next_page_token: next.to_owned(),
            ..Default::default()
        })
    }

    #[tokio::test]
    async fn what_was_done_before_a_failure_is_kept_with_the_place_to_continue() {
        let (mut place, mut done) = (Place::beginning("acme"), Vec::new());
        let failed = pages(answer, &mut place, &mut done).await.expect_err("the third page");
        assert_eq!((failed.code(), done.len(), place.page_token.as_str()), (Code::Unavailable, 2, "third"));
        let failed = pages(answer, &mut place, &mut done).await.expect_err("the third page");
        assert_eq!((failed.code(), done.len(), place.page_token.as_str()), (Code::Unavailable, 2, "third"));
    }
}
