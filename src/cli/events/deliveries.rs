//! `events deliveries|retry-delivery`: what became of events.

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::client::OfTenantArgs;
use crate::cli::failure::Failure;
use crate::cli::live::WatchArgs;
use crate::cli::lookup::{request_id, time_text, word};
use crate::cli::output::Output;
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
    /// The most deliveries to list, at most 500.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    page_size: i32,
    /// Where the list continues, as an earlier list has printed it.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page_token: String,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    of: OfTenantArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RetryArgs {
    /// The id of the endpoint.
    endpoint: String,
    /// The id of the event.
    event: String,
    #[command(flatten)]
    of: OfTenantArgs,
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
    let ListArgs { endpoint, state, page_size, page_token, watch, of } = arguments;
    let state = state.map_or(v1::EventDeliveryState::Unspecified, StateArg::state);
    let request = v1::ListEventDeliveriesRequest {
        tenant_id: of.of_tenant,
        endpoint_id: endpoint,
        state: state.into(),
        page_size,
        page_token,
    };
    watch
        .show(&of.client, of.output.output, output, async |client, format, output| {
            let page = client.admin().list_event_deliveries(request.clone()).await?.into_inner();
            let found = (page.deliveries.as_slice(), page.next_page_token.as_str());
            shown::page("EventDelivery", found, format, output, &HEADINGS, row)
        })
        .await
}

pub(super) async fn retry(arguments: RetryArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.of.client.connect().await?;
    let request = v1::RetryEventDeliveryRequest {
        tenant_id: arguments.of.of_tenant,
        endpoint_id: arguments.endpoint,
        event_id: arguments.event,
        request_id: request_id()?,
    };
    let retried = client.admin().retry_event_delivery(request).await?.into_inner();
    let delivery = retried.delivery.context("the vault answered without a delivery")?;
    shown::one("EventDelivery", &delivery, arguments.of.output.output, output, |output| {
        output.table(&HEADINGS, &[row(&delivery)])
    })
}

const HEADINGS: [&str; 7] = ["EVENT", "ENDPOINT", "TYPE", "STATE", "ATTEMPTS", "HAPPENED", "LAST FAILURE"];

fn row(delivery: &v1::EventDelivery) -> Vec<String> {
    vec![
        delivery.event_id.clone(),
        delivery.endpoint_id.clone(),
        delivery.r#type.clone(),
        word(delivery.state().as_str_name(), "EVENT_DELIVERY_STATE_"),
        delivery.attempts.to_string(),
        time_text(delivery.create_time.as_ref()),
        delivery.last_failure.clone(),
    ]
}
