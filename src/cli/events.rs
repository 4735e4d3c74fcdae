//! `events endpoints|put-endpoint|delete-endpoint|test-endpoint|deliveries|retry-delivery`: where the vault sends events to,
//! and what became of them.

mod deliveries;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::administered::OwnerArgs;
use super::args::{ConfirmArgs, PageArgs};
use super::failure::Failure;
use super::live::WatchArgs;
use super::lookup::{request_id, time_text, word};
use super::output::Output;
use super::secret_input::line_of;
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum EventsCommand {
    /// List the event endpoints of the platform, or of a tenant, with their successes and failures.
    Endpoints(EndpointsArgs),
    /// Register a URL for events, replace one, or make a new secret for it. Prints the secret: no other command does.
    PutEndpoint(PutArgs),
    /// Delete an event endpoint with its deliveries.
    DeleteEndpoint(DeleteArgs),
    /// Send a test event to an endpoint now. Ends with code 5 if it is not delivered.
    TestEndpoint(OneArgs),
    /// List past and pending deliveries, newest event first.
    Deliveries(deliveries::ListArgs),
    /// Send an event again, at once and with its whole schedule of attempts; or all events that the vault has given up at an
    /// endpoint.
    RetryDelivery(deliveries::RetryArgs),
}

#[derive(Args, Debug)]
pub(super) struct EndpointsArgs {
    /// List only endpoints that failed last, or that the vault sends nothing to any more.
    #[arg(long)]
    failing: bool,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    of: OwnerArgs,
}

#[derive(Args, Debug)]
pub(super) struct OneArgs {
    /// The id of the endpoint.
    endpoint: String,
    #[command(flatten)]
    of: OwnerArgs,
}

#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

#[derive(Args, Debug)]
pub(super) struct PutArgs {
    /// The URL to send events to.
    #[arg(long, required_unless_present = "url_file")]
    url: Option<String>,
    /// A file with the URL, if it holds a secret; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    url_file: Option<PathBuf>,
    /// The id of the endpoint to replace as a whole. Without it, a new one.
    #[arg(long, value_name = "ID", default_value = "")]
    endpoint: String,
    /// A type of events to send, such as `connection.connected`. Repeatable; without it, all types.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// A description, for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Make a new secret. For 24 hours the one before signs, too.
    #[arg(long, requires = "endpoint")]
    rotate_secret: bool,
    #[command(flatten)]
    of: OwnerArgs,
}

pub(super) fn run(command: EventsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            EventsCommand::Endpoints(arguments) => endpoints(arguments, output).await,
            EventsCommand::PutEndpoint(arguments) => put(arguments, output).await,
            EventsCommand::DeleteEndpoint(DeleteArgs { one: arguments, confirm }) => {
                let whose = arguments.of.whose()?;
                confirm.ask(&format!(
                    "Delete the endpoint {} {} with its secret and its deliveries? That cannot be undone.",
                    arguments.endpoint,
                    whose.text()
                ))?;
                let client = arguments.of.client.connect().await?;
                let request = v1::DeleteEventEndpointRequest {
                    tenant_id: whose.tenant_id(),
                    endpoint_id: arguments.endpoint,
                    request_id: request_id()?,
                };
                let deleted = client.admin().delete_event_endpoint(request).await?.into_inner();
                let format = arguments.of.output.output;
                shown::one("DeleteEventEndpointResponse", &deleted, format, output, |output| {
                    output.line(&format!("The endpoint {} is deleted.", whose.text()))
                })
            }
            EventsCommand::TestEndpoint(arguments) => test(arguments, output).await,
            EventsCommand::Deliveries(arguments) => deliveries::list(arguments, output).await,
            EventsCommand::RetryDelivery(arguments) => deliveries::retry(arguments, output).await,
        }
    })
}

async fn endpoints(arguments: EndpointsArgs, output: &mut Output) -> Result<(), Failure> {
    let EndpointsArgs { failing, page, watch, of } = arguments;
    let whose = of.whose()?;
    watch
        .show(&of.client, of.output.output, output, async |client, format, output| {
            let (all, next) = page
                .items(async |page_size, page_token| {
                    let tenant_id = whose.tenant_id();
                    let request = v1::ListEventEndpointsRequest { tenant_id, page_size, page_token };
                    let mut page = client.admin().list_event_endpoints(request).await?.into_inner();
                    page.endpoints.retain(|one| !failing || is_failing(one));
                    Ok((page.endpoints, page.next_page_token))
                })
                .await?;
            let columns = (&HEADINGS[..], SPARE);
            shown::page_of(&whose, "EventEndpoint", (&all, &next), format, output, columns, row)
        })
        .await
}

/// What a list of endpoints shows; on a narrow terminal the last ones are left out.
const HEADINGS: [&str; 7] = ["ID", "STATE", "FAILURES", "LAST FAILURE", "WHY", "LAST SUCCESS", "URL"];
/// How many of them are left out at most.
const SPARE: usize = 4;

fn row(endpoint: &v1::EventEndpoint) -> Vec<String> {
    vec![
        endpoint.id.clone(),
        state_of(endpoint),
        endpoint.consecutive_failures.to_string(),
        time_text(endpoint.last_failure_time.as_ref()),
        endpoint.last_failure.clone(),
        time_text(endpoint.last_success_time.as_ref()),
        endpoint.url.clone(),
    ]
}

/// Whether the latest attempt at an endpoint has failed, or there are no more attempts.
fn is_failing(endpoint: &v1::EventEndpoint) -> bool {
    endpoint.consecutive_failures > 0 || endpoint.state() == v1::EventEndpointState::Disabled
}

async fn put(arguments: PutArgs, output: &mut Output) -> Result<(), Failure> {
    let whose = arguments.of.whose()?;
    let from_file = arguments.url_file.as_deref().map(line_of).transpose()?;
    let client = arguments.of.client.connect().await?;
    let request = v1::PutEventEndpointRequest {
        tenant_id: whose.tenant_id(),
        endpoint_id: arguments.endpoint,
        url: arguments.url.or(from_file).unwrap_or_default(),
        types: arguments.types,
        description: arguments.description,
        rotate_secret: arguments.rotate_secret,
        request_id: request_id()?,
    };
    let stored = client.admin().put_event_endpoint(request).await?.into_inner();
    let endpoint = stored.endpoint.clone().context("the vault answered without an endpoint")?;
    shown::one("PutEventEndpointResponse", &stored, arguments.of.output.output, output, |output| {
        let types = if endpoint.types.is_empty() { "all".to_owned() } else { endpoint.types.join(" ") };
        output.line::<Failure>(&whose.title())?;
        let facts = [
            ("endpoint", endpoint.id.clone()),
            ("URL", endpoint.url.clone()),
            ("types", types),
            ("description", endpoint.description.clone()),
            ("state", state_of(&endpoint)),
            ("secret", stored.secret.clone()),
        ];
        shown::facts(&facts, output)
    })
}

async fn test(arguments: OneArgs, output: &mut Output) -> Result<(), Failure> {
    let OneArgs { endpoint, of } = arguments;
    let tenant_id = of.whose()?.tenant_id();
    let client = of.client.connect().await?;
    let request = v1::TestEventEndpointRequest { tenant_id, endpoint_id: endpoint };
    let tested = client.admin().test_event_endpoint(request).await?.into_inner();
    shown::one("TestEventEndpointResponse", &tested, of.output.output, output, |output| {
        let delivered = if tested.delivered { "yes" } else { "no" };
        let facts = [
            ("delivered", delivered.to_owned()),
            ("event", tested.event_id.clone()),
            ("failure", tested.failure.clone()),
        ];
        shown::facts(&facts, output)
    })?;
    match tested.delivered {
        true => Ok(()),
        false => Err(Failure::Invalid("the endpoint did not take the test event".to_owned())),
    }
}

fn state_of(endpoint: &v1::EventEndpoint) -> String {
    word(endpoint.state().as_str_name(), "EVENT_ENDPOINT_STATE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_fails_until_it_takes_an_event() {
        let endpoint = v1::EventEndpoint {
            state: v1::EventEndpointState::Enabled.into(),
            last_failure: "status 500".to_owned(),
            last_failure_time: Some(prost_types::Timestamp::default()),
            ..Default::default()
        };
        assert!(!is_failing(&endpoint), "it has taken an event since");
        assert!(is_failing(&v1::EventEndpoint { consecutive_failures: 1, ..endpoint.clone() }));
        let gone = v1::EventEndpointState::Disabled.into();
        assert!(is_failing(&v1::EventEndpoint { state: gone, ..endpoint.clone() }));
        assert_eq!(row(&endpoint)[3..5], ["1970-01-01T00:00:00Z", "status 500"]);
    }
}
