//! `dependants`: which tenants and users still depend on the platform's shared credentials.

use clap::Args;

use super::args::{OutputArgs, PageArgs};
use super::client::ClientArgs;
use super::completion::providers_completer;
use super::failure::Failure;
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(super) struct DependantsArgs {
    /// Only those of this provider.
    #[arg(long, add = providers_completer())]
    provider: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(arguments: DependantsArgs, output: &mut Output) -> Result<(), Failure> {
    let (all, next) = run_on(ONE_THREAD, async {
        let client = arguments.client.connect().await?;
        let provider = arguments.provider.unwrap_or_default();
        arguments
            .page
            .items(async |page_size, page_token| {
                let provider = provider.clone();
                let request = v1::ListPlatformDependantsRequest { page_size, page_token, provider };
                let page = client.admin().list_platform_dependants(request).await?.into_inner();
                Ok((page.dependants, page.next_page_token))
            })
            .await
    })?;
    let row = |one: &v1::PlatformDependant| {
        let last =
            one.last_time.and_then(|time| time::OffsetDateTime::from_unix_timestamp(time.seconds).ok());
        let last = last.map(|time| time.date().to_string()).unwrap_or_default();
        let (tenant, provider) = (one.tenant_id.clone(), one.provider.clone());
        vec![tenant, provider, one.user_id.clone(), one.service.clone(), one.fetch_count.to_string(), last]
    };
    let headings = ["TENANT", "PROVIDER", "USER", "SERVICE", "FETCHES", "LAST"];
    shown::page("PlatformDependant", (&all, &next), arguments.output.output, output, &headings, row)
}
