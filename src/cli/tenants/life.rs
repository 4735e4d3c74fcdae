//! `tenants create|get|list|suspend|resume`: that there is a tenant, and whether the vault serves it.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use crate::cli::administered::TenantArgs;
use crate::cli::args::{OutputArgs, PageArgs};
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::lookup::{request_id, time_text, word};
use crate::cli::output::{Format, Output};
use crate::cli::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum LifeCommand {
    /// Create a tenant with its own keys. An id is never used twice.
    Create(CreateArgs),
    /// Show one tenant by its id.
    Get(TenantArgs),
    /// List the tenants that the caller may see.
    List(ListArgs),
    /// Stop serving a tenant: its calls are refused. Nothing is deleted.
    Suspend(TenantArgs),
    /// Serve a suspended tenant again.
    Resume(TenantArgs),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// The name of the tenant, for people.
    #[arg(long, value_name = "NAME", default_value = "")]
    display_name: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ListArgs {
    /// List only tenants in this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum StateArg {
    Active,
    Suspended,
}

impl StateArg {
    fn state(self) -> v1::TenantState {
        match self {
            Self::Active => v1::TenantState::Active,
            Self::Suspended => v1::TenantState::Suspended,
        }
    }
}

pub(super) async fn run(command: LifeCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        LifeCommand::Create(CreateArgs { tenant, display_name }) => {
            let client = tenant.connect().await?;
            let (tenant_id, request_id) = (tenant.id, request_id()?);
            let request = v1::CreateTenantRequest { tenant_id, display_name, request_id };
            let created = client.admin().create_tenant(request).await?.into_inner();
            print(created.tenant, tenant.output.output, output)
        }
        LifeCommand::Get(tenant) => {
            let client = tenant.connect().await?;
            let request = v1::GetTenantRequest { tenant_id: tenant.id };
            let found = client.admin().get_tenant(request).await?.into_inner();
            print(found.tenant, tenant.output.output, output)
        }
        LifeCommand::List(arguments) => list(arguments, output).await,
        LifeCommand::Suspend(tenant) => {
            let client = tenant.connect().await?;
            let request = v1::SuspendTenantRequest { tenant_id: tenant.id, request_id: request_id()? };
            let suspended = client.admin().suspend_tenant(request).await?.into_inner();
            print(suspended.tenant, tenant.output.output, output)
        }
        LifeCommand::Resume(tenant) => {
            let client = tenant.connect().await?;
            let request = v1::ResumeTenantRequest { tenant_id: tenant.id, request_id: request_id()? };
            let resumed = client.admin().resume_tenant(request).await?.into_inner();
            print(resumed.tenant, tenant.output.output, output)
        }
    }
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let state = arguments.state.map_or(v1::TenantState::Unspecified, StateArg::state);
    let (all, next) = arguments
        .page
        .items(async |page_size, page_token| {
            let request = v1::ListTenantsRequest { page_size, page_token, state: state.into() };
            let page = client.admin().list_tenants(request).await?.into_inner();
            Ok((page.tenants, page.next_page_token))
        })
        .await?;
    shown::page("Tenant", (&all, &next), arguments.output.output, output, &HEADINGS, row)
}

fn print(tenant: Option<v1::Tenant>, format: Format, output: &mut Output) -> Result<(), Failure> {
    let tenant = tenant.context("the vault answered without a tenant")?;
    shown::one("Tenant", &tenant, format, output, |output| output.table(&HEADINGS, &[row(&tenant)]))
}

const HEADINGS: [&str; 5] = ["TENANT", "NAME", "STATE", "CREATED", "CHANGED"];

fn row(tenant: &v1::Tenant) -> Vec<String> {
    vec![
        tenant.id.clone(),
        tenant.display_name.clone(),
        word(tenant.state().as_str_name(), "TENANT_STATE_"),
        time_text(tenant.create_time.as_ref()),
        time_text(tenant.update_time.as_ref()),
    ]
}
