//! `events deliveries|retry-delivery`: what became of events.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tonic::{Code, Status};

use crate::cli::administered::OwnerArgs;
use crate::cli::attempts::{Attempts, Next};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::live::WatchArgs;
use crate::cli::lookup::{request_id, time_text, word};
use crate::cli::output::{Format, Output};
use crate::cli::progress::Bar;
use crate::cli::shown;
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct ListArgs {
    /// List only deliveries to this endpoint.
    #[arg(long, value_name = "ID", default_value = "")]
    endpoint: String,
    /// List only deliveries in this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// List only deliveries that the vault has given up, or whose last attempt has failed.
    #[arg(long, conflicts_with = "state")]
    failing: bool,
    /// The most deliveries to list, at most 500.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=500))]
    page_size: i32,
    /// Where the list continues, as an earlier list has printed it.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page_token: String,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    of: OwnerArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RetryArgs {
    /// The id of the endpoint.
    endpoint: String,
    /// The id of the event.
    #[arg(required_unless_present = "all_dead")]
    event: Option<String>,
    /// Send all events again that the vault has given up at this endpoint.
    #[arg(long, conflicts_with = "event")]
    all_dead: bool,
    #[command(flatten)]
    of: OwnerArgs,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum StateArg {
    /// It will be sent, for the first time or again.
    Pending,
    /// The endpoint has taken it.
    Delivered,
    /// The vault has given it up.
    Dead,
}

impl StateArg {
    fn state(self) -> v1::EventDeliveryState {
        match self {
            Self::Pending => v1::EventDeliveryState::Pending,
            Self::Delivered => v1::EventDeliveryState::Delivered,
            Self::Dead => v1::EventDeliveryState::Dead,
        }
    }
}

pub(super) async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let ListArgs { endpoint, state, failing, page_size, page_token, watch, of } = arguments;
    let state = state.map_or(v1::EventDeliveryState::Unspecified, StateArg::state);
    let whose = of.whose()?;
    let request = v1::ListEventDeliveriesRequest {
        tenant_id: whose.tenant_id(),
        endpoint_id: endpoint,
        state: state.into(),
        page_size,
        page_token,
    };
    watch
        .show(&of.client, of.output.output, output, async |client, format, output| {
            let (found, next) = page(client, request.clone(), failing).await?;
            let columns = (&HEADINGS[..], SPARE);
            shown::page_of(&whose, "EventDelivery", (&found, &next), format, output, columns, row)
        })
        .await
}

/// A page of deliveries, and the token of the next one. The vault has no filter for what fails, so pages are asked for until
/// one is full of that.
async fn page(
    client: &Client,
    mut request: v1::ListEventDeliveriesRequest,
    failing: bool,
) -> Result<(Vec<v1::EventDelivery>, String), Failure> {
    let (most, mut found) = (request.page_size, Vec::new());
    loop {
        let page = client.admin().list_event_deliveries(request.clone()).await?.into_inner();
        found.extend(page.deliveries.into_iter().filter(|one| !failing || is_failing(one)));
        let missing = most.saturating_sub(i32::try_from(found.len()).unwrap_or(i32::MAX));
        if !failing || missing <= 0 || page.next_page_token.is_empty() {
            return Ok((found, page.next_page_token));
        }
        (request.page_size, request.page_token) = (missing, page.next_page_token);
    }
}

fn is_failing(delivery: &v1::EventDelivery) -> bool {
    match delivery.state() {
        v1::EventDeliveryState::Dead => true,
        v1::EventDeliveryState::Pending => !delivery.last_failure.is_empty(),
        v1::EventDeliveryState::Delivered | v1::EventDeliveryState::Unspecified => false,
    }
}

pub(super) async fn retry(arguments: RetryArgs, output: &mut Output) -> Result<(), Failure> {
    let RetryArgs { endpoint, event, all_dead: _, of } = arguments;
    let tenant_id = of.whose()?.tenant_id();
    let client = of.client.connect().await?;
    let Some(event_id) = event else {
        return retry_dead(&client, (tenant_id, endpoint), of.output.output, output).await;
    };
    let request = v1::RetryEventDeliveryRequest {
        tenant_id,
        endpoint_id: endpoint,
        event_id,
        request_id: request_id()?,
    };
    let retried = client.admin().retry_event_delivery(request).await?.into_inner();
    let delivery = retried.delivery.context("the vault answered without a delivery")?;
    shown::one("EventDelivery", &delivery, of.output.output, output, |output| {
        output.table(&HEADINGS, &[row(&delivery)])
    })
}

/// Sends all events again that the vault has given up at an endpoint. They are found first: what is sent again may be given up
/// again meanwhile.
async fn retry_dead(
    client: &Client,
    (tenant_id, endpoint_id): (String, String),
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let dead = dead_events(client, &tenant_id, &endpoint_id).await?;
    let (mut bar, mut sent, mut refused, mut failed) = (Bar::default(), Vec::new(), 0, None);
    for (number, event_id) in dead.iter().enumerate() {
        bar.draw(number as u64, dead.len() as u64, "events");
        let request = v1::RetryEventDeliveryRequest {
            tenant_id: tenant_id.clone(),
            endpoint_id: endpoint_id.clone(),
            event_id: event_id.clone(),
            request_id: request_id()?,
        };
        match patiently(client, &request).await {
            Ok(response) => sent.extend(response.delivery),
            // It was deleted meanwhile, or policy keeps its connection from this caller.
            Err(status) if matches!(status.code(), Code::NotFound | Code::PermissionDenied) => refused += 1,
            Err(status) => {
                failed = Some(status);
                break;
            }
        }
    }
    bar.clear();
    match format {
        Format::Json => output.json_list::<Failure>("EventDelivery", &sent)?,
        Format::Table => {
            output.line::<Failure>(&format!("{} of {} events are sent again", sent.len(), dead.len()))?;
        }
    }
    match (failed, refused) {
        (Some(status), _) => Err(status.into()),
        (None, 0) => Ok(()),
        (None, refused) => {
            Err(Failure::Partly(format!("{refused} events were refused or are not there any more")))
        }
    }
}

async fn dead_events(client: &Client, tenant_id: &str, endpoint_id: &str) -> Result<Vec<String>, Failure> {
    let mut request = v1::ListEventDeliveriesRequest {
        tenant_id: tenant_id.to_owned(),
        endpoint_id: endpoint_id.to_owned(),
        state: v1::EventDeliveryState::Dead.into(),
        page_size: 500,
        page_token: String::new(),
    };
    let mut all = Vec::new();
    loop {
        let (page, next) = page(client, request.clone(), false).await?;
        all.extend(page.into_iter().map(|one| one.event_id));
        if next.is_empty() {
            return Ok(all);
        }
        request.page_token = next;
    }
}

/// Asks until the vault has time for it.
async fn patiently(
    client: &Client,
    request: &v1::RetryEventDeliveryRequest,
) -> Result<v1::RetryEventDeliveryResponse, Status> {
    let mut attempts = Attempts::waiting_for_rates();
    loop {
        let refused = match client.admin().retry_event_delivery(request.clone()).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(refused) => refused,
        };
        match attempts.after(&refused).await {
            Next::Again => {}
            Next::Over | Next::Refused => return Err(refused),
        }
    }
}

/// What a list of deliveries shows; on a narrow terminal the last ones are left out.
const HEADINGS: [&str; 9] = [
    "EVENT",
    "STATE",
    "ATTEMPTS",
    "LAST ATTEMPT",
    "NEXT ATTEMPT",
    "LAST FAILURE",
    "TYPE",
    "HAPPENED",
    "ENDPOINT",
];
/// How many of them are left out at most.
const SPARE: usize = 6;

fn row(delivery: &v1::EventDelivery) -> Vec<String> {
    vec![
        delivery.event_id.clone(),
        word(delivery.state().as_str_name(), "EVENT_DELIVERY_STATE_"),
        delivery.attempts.to_string(),
        time_text(delivery.last_attempt_time.as_ref()),
        time_text(delivery.next_attempt_time.as_ref()),
        delivery.last_failure.clone(),
        delivery.r#type.clone(),
        time_text(delivery.create_time.as_ref()),
        delivery.endpoint_id.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_another_attempt_after_a_failure_is_failing() {
        let delivery = |state: v1::EventDeliveryState, failure: &str| v1::EventDelivery {
            state: state.into(),
            last_failure: failure.to_owned(),
            ..Default::default()
        };
        let failing = |state, failure| is_failing(&delivery(state, failure));
        assert!(failing(v1::EventDeliveryState::Dead, "status 500"));
        assert!(failing(v1::EventDeliveryState::Pending, "status 500"));
        assert!(!failing(v1::EventDeliveryState::Pending, ""));
        assert!(!failing(v1::EventDeliveryState::Delivered, ""));
    }
}
