//! `dependants`: which tenants and users still depend on the platform's shared credentials.

use clap::Args;

use super::args::{OutputArgs, PageArgs};
use super::client::ClientArgs;
use super::completion::providers_completer;
use super::failure::Failure;
use super::lookup::print_next;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
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
        let (page_size, page_token) = arguments.page.first();
        let mut request = v1::ListPlatformDependantsRequest {
            page_size,
            page_token,
            provider: arguments.provider.unwrap_or_default(),
        };
        let mut all = Vec::new();
        loop {
            let page = client.admin().list_platform_dependants(request.clone()).await?.into_inner();
            all.extend(page.dependants);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() || arguments.page.is_one() {
                return Ok::<_, Failure>((all, request.page_token));
            }
        }
    })?;
    let row = |one: &v1::PlatformDependant| {
        let last =
            one.last_time.and_then(|time| time::OffsetDateTime::from_unix_timestamp(time.seconds).ok());
        let last = last.map(|time| time.date().to_string()).unwrap_or_default();
        let (tenant, provider) = (one.tenant_id.clone(), one.provider.clone());
        vec![tenant, provider, one.user_id.clone(), one.service.clone(), one.fetch_count.to_string(), last]
    };
    match arguments.output.output {
        Format::Json => output.json_page("PlatformDependant", &all, &next),
        Format::Table => {
            let headings = ["TENANT", "PROVIDER", "USER", "SERVICE", "FETCHES", "LAST"];
            output.table::<Failure>(&headings, &all.iter().map(row).collect::<Vec<_>>())?;
            print_next(&next, output)
        }
    }
}
