//! `keys destroy-older-versions`: the end of what the root key was, in its key manager.

use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::lookup::time_text;
use crate::cli::output::{Format, Output};
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct DestroyArgs {
    /// Destroy them. Backups from before the latest rotation of the root key never open again, for any tenant.
    #[arg(long)]
    confirm: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn destroy(arguments: DestroyArgs, output: &mut Output) -> Result<(), Failure> {
    let DestroyArgs { confirm, client: caller, output: format } = arguments;
    let client = caller.connect().await?;
    let request = v1::DestroyOlderRootKeyVersionsRequest { confirm };
    let found = client.admin().destroy_older_root_key_versions(request).await?.into_inner();
    if format.output == Format::Json {
        return output.json("DestroyOlderRootKeyVersionsResponse", &found);
    }
    let v1::DestroyOlderRootKeyVersionsResponse { root_key_id, name, destroyed, .. } = &found;
    let before = time_text(found.backups_before.as_ref());
    if *destroyed {
        return output.line(&format!(
            "the older versions of {name} ({root_key_id}) are destroyed: no backup made under them, before {before}, opens \
             any more"
        ));
    }
    let newest = match (&found.newest_backup_time, &found.backups_before) {
        (Some(time), Some(before)) if (time.seconds, time.nanos) < (before.seconds, before.nanos) => {
            format!(
                "the newest backup is from before, {}: make and verify another first",
                time_text(Some(time))
            )
        }
        (Some(time), _) => format!("the newest backup has the data of {}", time_text(Some(time))),
        (None, _) => "the vault knows of no backup: make and verify one first".to_owned(),
    };
    output.line::<Failure>(&format!(
        "nothing is destroyed yet. Without older versions of {name} ({root_key_id}), no backup made under them, before \
         {before}, opens any more, for any tenant; {newest}. To go on:"
    ))?;
    output.line(&format!("credvault keys destroy-older-versions{} --confirm", caller.repeated()))
}
