//! `secrets places` shows where secrets are kept.

use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::watching::described;
use crate::cli::whose::Whose;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct PlacesArgs {
    /// The id of the tenant; or name it with --tenant. Without one, the platform's own secrets.
    tenant_id: Option<String>,
    /// The platform's own secrets, also where the profile names a tenant.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant"])]
    platform: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn show(arguments: PlacesArgs, output: &mut Output) -> Result<(), Failure> {
    let whose = match arguments.platform {
        true => Whose::Platform,
        false => Whose::of(arguments.client.tenant_or(arguments.tenant_id.as_deref())?),
    };
    let client = arguments.client.connect().await?;
    let request = v1::GetSecretPlacesRequest { tenant_id: whose.tenant_id() };
    let places = client.admin().get_secret_places(request).await?.into_inner();
    if let Format::Json = arguments.output.output {
        return output.json("GetSecretPlacesResponse", &places);
    }
    let headings = ["STORE", "KIND", "LOCATION", "VERSIONS", "ADOPTED", "NEW SECRETS"];
    let row = |place: &v1::SecretPlace| {
        let new = if place.name == places.target { "here" } else { "" };
        let (versions, adopted) = (place.versions.to_string(), place.adopted.to_string());
        vec![
            place.name.clone(),
            place.kind.clone(),
            place.location.clone(),
            versions,
            adopted,
            new.to_owned(),
        ]
    };
    output.line::<Failure>(&whose.title())?;
    output.table::<Failure>(&headings, &places.places.iter().map(row).collect::<Vec<_>>())?;
    if let Some(latest) = &places.latest_move {
        output.line::<Failure>("")?;
        output.line::<Failure>(&format!("latest move: {}", described(latest)))?;
    }
    Ok(())
}
