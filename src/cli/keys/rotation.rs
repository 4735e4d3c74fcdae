//! `keys rotate` and `keys rotate-root`.

use clap::Args;
use tonic::{Code, Status, Streaming};

use super::status::described;
use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::progress::Bar;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct RotateArgs {
    /// The id of the tenant. Without it, the platform's own key.
    tenant_id: Option<String>,
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
    let RotateArgs { tenant_id, retire_at_once, how } = arguments;
    let client = how.client.connect().await?;
    let mut request = v1::RotateTenantKeyRequest {
        tenant_id: tenant_id.unwrap_or_default(),
        watch: how.watch,
        records_per_second: how.per_second,
        retire_at_once,
        ..Default::default()
    };
    let mut watching = Watching::default();
    loop {
        let stream = client.admin().rotate_tenant_key(request.clone()).await?.into_inner();
        if watching.follow(stream, |response| response.progress).await? {
            return watching.end(how.output.output, output);
        }
        request.watch = true;
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

/// A rotation that is watched on a terminal.
#[derive(Default)]
struct Watching {
    bar: Bar,
    latest: v1::RotationProgress,
}

impl Watching {
    /// Shows the progress until the stream ends. Gives whether the rotation has ended with it: a replica that stops, or a
    /// connection that is lost, ends the stream only.
    async fn follow<R>(
        &mut self,
        mut stream: Streaming<R>,
        progress: impl Fn(R) -> Option<v1::RotationProgress>,
    ) -> Result<bool, Failure> {
        loop {
            match stream.message().await {
                Ok(Some(response)) => self.latest = progress(response).unwrap_or_default(),
                Ok(None) => return Ok(!self.latest.running),
                Err(error) if is_cut(&error) && self.latest.running => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            let v1::RotationProgress { done, total, .. } = self.latest;
            self.bar.draw(done.unsigned_abs(), total.unsigned_abs(), &described(&self.latest));
        }
    }

    fn end(mut self, format: Format, output: &mut Output) -> Result<(), Failure> {
        self.bar.clear();
        match format {
            Format::Json => output.json("RotationProgress", &self.latest),
            Format::Table => output.line(&described(&self.latest)),
        }
    }
}

/// Whether a stream was cut off, and not refused.
fn is_cut(error: &Status) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}
