//! Arguments of administrators' commands: which tenant a command is about, or that it is about the platform.

use clap::Args;

use super::args::OutputArgs;
use super::client::{Client, ClientArgs};
use super::failure::Failure;
use super::whose::Whose;

/// The tenant that a command itself is about, how to call, and how to print.
#[derive(Args, Debug)]
pub(super) struct TenantArgs {
    /// The id of the tenant.
    #[arg(value_name = "TENANT_ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) client: ClientArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl TenantArgs {
    /// Connects, unless `--tenant` names another tenant.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        self.client.tenant_or(Some(&self.id))?;
        self.client.connect().await
    }
}

/// The tenant whose users, limits or rules a command shows, how to call, and how to print.
#[derive(Args, Debug)]
pub(super) struct NamedTenantArgs {
    /// The id of the tenant; or name it with --tenant.
    #[arg(value_name = "TENANT_ID")]
    id: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl NamedTenantArgs {
    /// Connects, and gives the id of the tenant.
    pub(super) async fn connect(&self) -> Result<(Client, String), Failure> {
        let id = self
            .client
            .tenant_or(self.id.as_deref())?
            .ok_or_else(|| Failure::Usage("name the tenant, by TENANT_ID or with --tenant".to_owned()))?;
        Ok((self.client.connect().await?, id))
    }
}

/// Who owns the apps or endpoints that a command of administrators is about, how to call, and how to print.
#[derive(Args, Debug)]
pub(super) struct OwnerArgs {
    /// The platform's own, which is also meant where no tenant is named. Its endpoints get the events of all tenants.
    #[arg(long, conflicts_with = "tenant")]
    platform: bool,
    #[command(flatten)]
    pub(super) client: ClientArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl OwnerArgs {
    /// The tenant that option, variable or profile names, or else the platform.
    pub(super) fn whose(&self) -> Result<Whose, Failure> {
        if self.platform { Ok(Whose::Platform) } else { Ok(Whose::of(self.client.tenant_or(None)?)) }
    }
}
