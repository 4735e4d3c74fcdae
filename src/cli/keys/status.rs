//! `keys status`: which keys there are.

use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::{Client, ClientArgs};
use crate::cli::failure::Failure;
use crate::cli::live::WatchArgs;
use crate::cli::output::{Format, Output};
use crate::cli::watching::described;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct StatusArgs {
    /// The id of the tenant; or name it with --tenant. Without one, the platform's own keys, with counts for all root keys.
    tenant_id: Option<String>,
    /// The keys of all tenants, and the platform's own, each in one row.
    #[arg(long, conflicts_with_all = ["tenant_id", "platform", "tenant"])]
    all: bool,
    /// The platform's own keys, also where the profile names a tenant.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant"])]
    platform: bool,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn show(arguments: StatusArgs, output: &mut Output) -> Result<(), Failure> {
    let StatusArgs { tenant_id, all, platform, watch, client, output: printed } = arguments;
    let tenant = if all || platform { None } else { client.tenant_or(tenant_id.as_deref())? };
    let tenant_id = tenant.unwrap_or_default();
    watch
        .show(&client, printed.output, output, async |client, format, output| match all {
            true => super::all::show(client, format, output).await,
            false => one(client, &tenant_id, format, output).await,
        })
        .await
}

/// Shows the root keys, and the keys of one tenant or of the platform.
async fn one(client: &Client, tenant_id: &str, format: Format, output: &mut Output) -> Result<(), Failure> {
    let request = v1::GetKeyStatusRequest { tenant_id: tenant_id.to_owned() };
    let status = client.admin().get_key_status(request).await?.into_inner();
    if format == Format::Json {
        return output.json("GetKeyStatusResponse", &status);
    }
    let headings = ["ROOT KEY", "SOURCE", "NAME", "STATE", "CONFIGURED HERE", "TENANT KEYS UNDER IT"];
    output.table::<Failure>(&headings, &status.root_keys.iter().map(root).collect::<Vec<_>>())?;
    output.line::<Failure>("")?;
    output.line::<Failure>(&title(tenant_id))?;
    let headings = ["VERSION", "STATE", "ROOT KEY", "SEALED UNDER IT", "USES"];
    output.table::<Failure>(&headings, &status.tenant_keys.iter().map(key).collect::<Vec<_>>())?;
    for (what, progress) in [("the key", &status.rotation), ("the root key", &status.root_rotation)] {
        if let Some(progress) = progress {
            output.line::<Failure>("")?;
            output.line::<Failure>(&format!("latest rotation of {what}: {}", described(progress)))?;
        }
    }
    Ok(())
}

/// What stands over the second table.
fn title(tenant_id: &str) -> String {
    match tenant_id {
        "" => "the platform's own key (--tenant shows a tenant's):".to_owned(),
        tenant_id => format!("the key of the tenant {tenant_id}:"),
    }
}

fn root(root: &v1::RootKeyStatus) -> Vec<String> {
    let state = root.state().as_str_name().trim_start_matches("ROOT_KEY_STATE_").to_lowercase();
    let configured = if root.configured { "yes" } else { "no" };
    let wrapped = root.wrapped_keys.map(|keys| keys.to_string()).unwrap_or_default();
    vec![root.id.clone(), root.source.clone(), root.name.clone(), state, configured.to_owned(), wrapped]
}

fn key(key: &v1::TenantKeyStatus) -> Vec<String> {
    let state = if key.active { "active" } else { "replaced" };
    let (records, uses) = (key.sealed_records.to_string(), key.uses.to_string());
    vec![key.version.to_string(), state.to_owned(), key.root_key_id.clone(), records, uses]
}
