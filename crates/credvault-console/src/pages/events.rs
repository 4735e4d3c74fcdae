//! Endpoints of events and the deliveries to them: which fail, and sending one again. Endpoints are made elsewhere, because
//! the answer to that has their secret, which no page may show.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use credvault_proto::v1;
use maud::{Markup, html};
use url::Url;

use super::{Done, Given, Shared};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Paging, Section, choice, table};
use crate::refusal::{Refusal, shown};
use crate::words::{Tone, badge, number, when, word};

const STATES: [(&str, &str); 4] =
    [("", "any"), ("dead", "given up"), ("pending", "pending"), ("delivered", "delivered")];

/// The endpoints of a tenant, or of the platform, and the deliveries to them.
pub(crate) async fn show(State(console): Shared, Extension(fields): Given) -> Answer {
    let (endpoints, listed) = tokio::join!(endpoints(&console, &fields), deliveries(&console, &fields));
    let places = endpoints.as_deref().unwrap_or_default();
    let deliveries = listed.and_then(|listed| delivered(&console, &fields, places, &listed));
    let endpoints = endpoints.map(|endpoints| registered(&console, &fields, &endpoints));
    let body = html! {
        section aria-labelledby="endpoints" { h2 id="endpoints" { "Endpoints" } (shown(endpoints)) }
        section aria-labelledby="deliveries" {
            h2 id="deliveries" { "Deliveries" }
            form class="filter" method="get" action="/events" {
                input type="hidden" name="tenant" value=(fields.tenant());
                input type="hidden" name="endpoint" value=(fields.get("endpoint"));
                (choice("state", "State", fields.get("state"), &STATES))
                button { "Filter" }
            }
            (shown(deliveries))
        }
    };
    Ok(Page::new(Section::Events, "Events", &fields, body))
}

async fn endpoints(console: &Console, fields: &Fields) -> Result<Vec<v1::EventEndpoint>, Refusal> {
    // An owner has at most 16, so there is one page.
    let request =
        v1::ListEventEndpointsRequest { tenant_id: fields.tenant().to_owned(), ..Default::default() };
    Ok(console.vault.admin().list_event_endpoints(request).await?.into_inner().endpoints)
}

fn registered(console: &Console, fields: &Fields, endpoints: &[v1::EventEndpoint]) -> Markup {
    if endpoints.is_empty() {
        return html! { p { "There is none. PutEventEndpoint registers one; docs/events.md has the call." } };
    }
    let rows: Vec<_> = endpoints.iter().map(|endpoint| row(console, fields.tenant(), endpoint)).collect();
    let headings = ["Endpoint", "State", "Failures in a row", "Last success", "Last failure", "Test"];
    table("Endpoints", &headings, &rows)
}

fn row(console: &Console, tenant: &str, endpoint: &v1::EventEndpoint) -> Vec<Markup> {
    let (tone, state) = match (endpoint.state(), endpoint.consecutive_failures) {
        (v1::EventEndpointState::Disabled, _) => (Tone::Bad, "disabled: it answered 410 Gone"),
        (v1::EventEndpointState::Enabled | v1::EventEndpointState::Unspecified, 0) => (Tone::Good, "enabled"),
        (v1::EventEndpointState::Enabled | v1::EventEndpointState::Unspecified, _) => (Tone::Warn, "fails"),
    };
    let only = link("/events", &[("tenant", tenant), ("endpoint", endpoint.id.as_str())]);
    vec![
        html! { a href={ (only) "#deliveries" } { (host(&endpoint.url)) } " " (endpoint.description) },
        badge(tone, state),
        html! { (number(endpoint.consecutive_failures)) },
        when(endpoint.last_success_time.as_ref()),
        html! { (when(endpoint.last_failure_time.as_ref())) " " (endpoint.last_failure) },
        html! {
            form method="post" action="/events/test" {
                (console.form_key())
                input type="hidden" name="tenant" value=(tenant);
                input type="hidden" name="endpoint" value=(endpoint.id);
                button aria-label={ "Send a test event to " (host(&endpoint.url)) } { "Send a test" }
            }
        },
    ]
}

/// Where an endpoint is, without path and query: those of some receivers are secret.
fn host(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let origin = parsed.map(|url| url.origin().ascii_serialization());
    origin.map_or_else(|| "an address".to_owned(), |origin| format!("{origin}/…"))
}

async fn deliveries(console: &Console, fields: &Fields) -> Result<v1::ListEventDeliveriesResponse, Refusal> {
    let state = match fields.get("state") {
        "" => v1::EventDeliveryState::Unspecified,
        "pending" => v1::EventDeliveryState::Pending,
        "delivered" => v1::EventDeliveryState::Delivered,
        "dead" => v1::EventDeliveryState::Dead,
        _ => return Err(Refusal::of_field("state", "must be dead, pending or delivered")),
    };
    let request = v1::ListEventDeliveriesRequest {
        tenant_id: fields.tenant().to_owned(),
        endpoint_id: fields.get("endpoint").to_owned(),
        state: state.into(),
        page_token: fields.get("page").to_owned(),
        ..Default::default()
    };
    Ok(console.vault.admin().list_event_deliveries(request).await?.into_inner())
}

fn delivered(
    console: &Console,
    fields: &Fields,
    endpoints: &[v1::EventEndpoint],
    listed: &v1::ListEventDeliveriesResponse,
) -> Result<Markup, Refusal> {
    if listed.deliveries.is_empty() {
        return Ok(html! { p { "There is no such delivery." } });
    }
    let place = |id: &str| {
        let known = endpoints.iter().find(|endpoint| endpoint.id == id);
        known.map_or_else(|| id.to_owned(), |endpoint| host(&endpoint.url))
    };
    let rows: Result<Vec<_>, _> = listed
        .deliveries
        .iter()
        .map(|each| delivery(console, fields, &place(&each.endpoint_id), each))
        .collect();
    let carried = vec![
        ("tenant", fields.tenant()),
        ("endpoint", fields.get("endpoint")),
        ("state", fields.get("state")),
    ];
    let (next, shown) = (listed.next_page_token.as_str(), listed.deliveries.len());
    let paging = Paging { path: "/events", carried, next, seen: fields.number("seen"), shown };
    let headings = ["Event", "Endpoint", "State", "Last attempt", "Next attempt", "Again"];
    Ok(html! { (table("Deliveries", &headings, &rows?)) (paging.links()) })
}

/// The cells of a delivery, few enough for a window of usual width.
fn delivery(
    console: &Console,
    fields: &Fields,
    place: &str,
    delivery: &v1::EventDelivery,
) -> Result<Vec<Markup>, Refusal> {
    let tone = match delivery.state() {
        v1::EventDeliveryState::Delivered => Tone::Good,
        v1::EventDeliveryState::Pending => Tone::Warn,
        v1::EventDeliveryState::Dead => Tone::Bad,
        v1::EventDeliveryState::Unspecified => Tone::Quiet,
    };
    let only = link("/events", &[("tenant", fields.tenant()), ("endpoint", delivery.endpoint_id.as_str())]);
    let attempts = if delivery.attempts == 1 { " attempt" } else { " attempts" };
    Ok(vec![
        html! {
            code { (delivery.r#type) } div class="quiet" { (when(delivery.create_time.as_ref())) }
            details { summary { "Content" } pre { (delivery.payload) } }
        },
        html! { a href={ (only) "#deliveries" } { code { (place) } } },
        html! {
            (badge(tone, &word(delivery.state().as_str_name(), "EVENT_DELIVERY_STATE_")))
            div class="quiet" { (delivery.attempts) (attempts) }
        },
        html! { (when(delivery.last_attempt_time.as_ref())) " " (delivery.last_failure) },
        when(delivery.next_attempt_time.as_ref()),
        again(console, fields, delivery)?,
    ])
}

fn again(console: &Console, fields: &Fields, delivery: &v1::EventDelivery) -> Result<Markup, Refusal> {
    let request_id = console.request_id()?;
    Ok(html! {
        form method="post" action="/events/retry" {
            (console.form_key()) (request_id)
            input type="hidden" name="tenant" value=(fields.tenant());
            input type="hidden" name="endpoint" value=(delivery.endpoint_id);
            input type="hidden" name="event" value=(delivery.event_id);
            button aria-label={ "Send " (delivery.r#type) " again" } { "Send again" }
        }
    })
}

/// Sends a test event to an endpoint, and says how that ended.
pub(crate) async fn test(State(console): Shared, Extension(fields): Given) -> Answer {
    let (tenant_id, endpoint_id) = (fields.tenant().to_owned(), fields.get("endpoint").to_owned());
    let request = v1::TestEventEndpointRequest { tenant_id, endpoint_id };
    let answer = console.vault.admin().test_event_endpoint(request).await?.into_inner();
    let body = html! {
        @if answer.delivered {
            p class="done" role="status" { "The endpoint has accepted the test event." }
        } @else {
            p class="refusal" role="alert" { "The endpoint has not accepted the test event: " (answer.failure) }
        }
        p { "The event's id, which a receiver gets as webhook-id: " code { (answer.event_id) } }
        p { a href=(link("/events", &[("tenant", fields.tenant())])) { "Back to the events" } }
    };
    Ok(Page::new(Section::Events, "Test of an endpoint", &fields, body))
}

/// Sends an event again.
pub(crate) async fn retry(State(console): Shared, Extension(fields): Given) -> Done {
    let request = v1::RetryEventDeliveryRequest {
        tenant_id: fields.tenant().to_owned(),
        endpoint_id: fields.get("endpoint").to_owned(),
        event_id: fields.get("event").to_owned(),
        request_id: fields.get("request_id").to_owned(),
    };
    console.vault.admin().retry_event_delivery(request).await?;
    let back = [("tenant", fields.tenant()), ("endpoint", fields.get("endpoint")), ("done", "retried")];
    Ok(Redirect::to(&link("/events", &back)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_place_of_an_endpoint_is_shown() {
        assert_eq!(
            host("https://hooks.example.com/services/CANARY?key=CANARY"),
            "https://hooks.example.com/…"
        );
        assert_eq!(host("CANARY"), "an address");
    }
}
