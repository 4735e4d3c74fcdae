//! `keys rotate` and `keys rotate-root`.

use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::watching::Watching;
use crate::cli::whose::Whose;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct RotateArgs {
    /// The id of the tenant; or name it with --tenant.
    tenant_id: Option<String>,
    /// The keys of all tenants, and the platform's own.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant", "platform", "watch"])]
    all: bool,
    /// The platform's own key.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant"])]
    platform: bool,
    /// Destroy the keys that are replaced as soon as nothing is under them. A backup still has the keys of its time.
    #[arg(long)]
    retire_at_once: bool,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RotateRootArgs {
    /// The id of the root key to move to, as `keys status` shows it. Without it, the one of `other_root_key`.
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// Have the key manager make a new version of the key in use first.
    #[arg(long)]
    new_version: bool,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Args, Debug)]
struct HowArgs {
    /// Only watch the latest rotation, and begin none.
    #[arg(long)]
    watch: bool,
    /// The most records, or tenants, in a second. Without it, the setting keys.records_per_second.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    per_second: i32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn rotate(arguments: RotateArgs, output: &mut Output) -> Result<(), Failure> {
    let whose = arguments.whose()?;
    let RotateArgs { all, retire_at_once, how, .. } = arguments;
    let client = how.client.connect().await?;
    let mut request = v1::RotateTenantKeyRequest {
        tenant_id: whose.tenant_id(),
        watch: how.watch,
        records_per_second: how.per_second,
        retire_at_once,
        ..Default::default()
    };
    if all {
        return super::all::rotate(&client, &request, how.output.output, output).await;
    }
    let mut watching = Watching::of(format!("the key {}: ", whose.text()));
    loop {
        let stream = client.admin().rotate_tenant_key(request.clone()).await?.into_inner();
        if watching.follow(stream, |response| response.progress).await? {
            return watching.end(how.output.output, output);
        }
        request.watch = true;
    }
}

impl RotateArgs {
    /// Whose key is rotated. The platform is asked for by name: a rotation of the wrong key looks like one of the right key.
    fn whose(&self) -> Result<Whose, Failure> {
        if self.all {
            return Ok(Whose::All);
        }
        if self.platform {
            return Ok(Whose::Platform);
        }
        let tenant = self.how.client.tenant_or(self.tenant_id.as_deref())?;
        tenant.map(Whose::Tenant).ok_or_else(|| {
            let ways = "--tenant ID for a tenant's, --platform for the platform's own, or --all";
            Failure::Usage(format!("name the key that is rotated: {ways}"))
        })
    }
}

pub(super) async fn rotate_root(arguments: RotateRootArgs, output: &mut Output) -> Result<(), Failure> {
    let RotateRootArgs { to, new_version, how } = arguments;
    let client = how.client.connect().await?;
    let mut request = v1::RotateRootKeyRequest {
        root_key_id: to.unwrap_or_default(),
        new_version,
        watch: how.watch,
        records_per_second: how.per_second,
        ..Default::default()
    };
    let mut watching = Watching::default();
    loop {
        let stream = client.admin().rotate_root_key(request.clone()).await?.into_inner();
        if watching.follow(stream, |response| response.progress).await? {
            return watching.end(how.output.output, output);
        }
        request.watch = true;
    }
}
