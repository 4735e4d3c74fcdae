//! `secrets move` moves secrets to another store.

use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::watching::Watching;
use crate::cli::whose::Whose;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct MoveArgs {
    /// The id of the tenant; or name it with --tenant.
    tenant_id: Option<String>,
    /// All tenants and the platform, one after the other.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant", "platform"])]
    all: bool,
    /// The platform's own secrets.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant"])]
    platform: bool,
    /// Where the secrets are to be kept: the name of a store in the settings, or database. Without it, where the setting
    /// secrets.store says.
    #[arg(long, value_name = "STORE")]
    to: Option<String>,
    /// Only watch the latest move, and begin none.
    #[arg(long, conflicts_with = "all")]
    watch: bool,
    /// The most connections in a second. Without it, the setting keys.records_per_second.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    per_second: i32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(arguments: MoveArgs, output: &mut Output) -> Result<(), Failure> {
    if !arguments.all {
        let whose = arguments.whose()?;
        let client = arguments.client.connect().await?;
        return move_one(&client, whose, &arguments, output).await;
    }
    let client = arguments.client.connect().await?;
    let mut failed = Vec::new();
    for tenant_id in all_tenants(&client).await? {
        let name = if tenant_id.is_empty() { "the platform".to_owned() } else { tenant_id.clone() };
        let whose = Whose::with_id(&tenant_id);
        match move_one(&client, whose, &arguments, output).await {
            Ok(()) => {}
            Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
            // One tenant must not keep the others.
            Err(failure) => failed.push(format!("{name}: {failure}")),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Partly(format!("{} tenants were not wholly moved\n{}", failed.len(), failed.join("\n"))))
}

impl MoveArgs {
    /// Whose secrets are moved, if not those of all. The platform is asked for by name.
    fn whose(&self) -> Result<Whose, Failure> {
        if self.platform {
            return Ok(Whose::Platform);
        }
        let tenant = self.client.tenant_or(self.tenant_id.as_deref())?;
        tenant.map(Whose::Tenant).ok_or_else(|| {
            let ways = "--tenant ID for a tenant's, --platform for the platform's own, or --all";
            Failure::Usage(format!("name the secrets that are moved: {ways}"))
        })
    }
}

/// Moves the secrets of one tenant or of the platform, and shows the progress.
async fn move_one(
    client: &Client,
    whose: Whose,
    arguments: &MoveArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut request = v1::MoveSecretsRequest {
        tenant_id: whose.tenant_id(),
        store: arguments.to.clone().unwrap_or_default(),
        watch: arguments.watch,
        records_per_second: arguments.per_second,
        ..Default::default()
    };
    let mut watching = Watching::of(format!("the secrets {}: ", whose.text()));
    loop {
        let stream = client.admin().move_secrets(request.clone()).await?.into_inner();
        if watching.follow(stream, |response| response.progress).await? {
            break;
        }
        request.watch = true;
    }
    watching.end(arguments.output.output, output)
}

/// The ids of all tenants, and the platform's, which is empty.
async fn all_tenants(client: &Client) -> Result<Vec<String>, Failure> {
    let mut tenants = vec![String::new()];
    let mut request = v1::ListTenantsRequest { page_size: 500, ..Default::default() };
    loop {
        let page = client.admin().list_tenants(request.clone()).await?.into_inner();
        tenants.extend(page.tenants.into_iter().map(|tenant| tenant.id));
        if page.next_page_token.is_empty() {
            return Ok(tenants);
        }
        request.page_token = page.next_page_token;
    }
}
