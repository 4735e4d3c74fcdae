//! How many connections a tenant, or the platform itself, has in each state and in each health. Each count is one call.

use credvault_proto::v1;
use futures::future::join_all;
use maud::{Markup, html};

use crate::console::Console;
use crate::fields::link;
use crate::refusal::Refusal;
use crate::words::{Tone, number, word};

/// The vault counts up to this number.
const MAX_COUNT: i64 = 100_000;

const STATES: [(v1::ConnectionState, Tone); 4] = [
    (v1::ConnectionState::Connected, Tone::Good),
    (v1::ConnectionState::Connecting, Tone::Warn),
    (v1::ConnectionState::Error, Tone::Bad),
    (v1::ConnectionState::Disconnected, Tone::Quiet),
];

const HEALTHS: [(v1::HealthState, Tone); 7] = [
    (v1::HealthState::Ok, Tone::Good),
    (v1::HealthState::Ending, Tone::Warn),
    (v1::HealthState::Uncertain, Tone::Warn),
    (v1::HealthState::ProviderIncident, Tone::Warn),
    (v1::HealthState::Ended, Tone::Bad),
    (v1::HealthState::Error, Tone::Bad),
    (v1::HealthState::NotConnected, Tone::Quiet),
];

/// One count with its word, its colour, and the list that has what was counted.
struct Part {
    name: String,
    tone: Tone,
    count: i64,
    list: String,
}

/// The counts as two bars with links.
pub(crate) async fn shown(console: &Console, tenant: &str) -> Markup {
    let (states, healths) = tokio::join!(by_state(console, tenant), by_health(console, tenant));
    html! {
        div class="pair" {
            (part("By state", states))
            (part("By health", healths))
        }
    }
}

async fn by_state(console: &Console, tenant: &str) -> Result<Vec<Part>, Refusal> {
    let counts = STATES.map(|(state, tone)| {
        let name = word(state.as_str_name(), "CONNECTION_STATE_");
        let selection = v1::ConnectionSelection { state: state.into(), ..Default::default() };
        counted(console, tenant, ("state", name), tone, selection)
    });
    join_all(counts).await.into_iter().collect()
}

async fn by_health(console: &Console, tenant: &str) -> Result<Vec<Part>, Refusal> {
    let counts = HEALTHS.map(|(health, tone)| {
        let name = word(health.as_str_name(), "HEALTH_STATE_");
        let selection = v1::ConnectionSelection { health: health.into(), ..Default::default() };
        counted(console, tenant, ("health", name), tone, selection)
    });
    join_all(counts).await.into_iter().collect()
}

/// Counts what is selected. `what` is the filter of the list that shows it, and the word for it.
async fn counted(
    console: &Console,
    tenant: &str,
    what: (&str, String),
    tone: Tone,
    selection: v1::ConnectionSelection,
) -> Result<Part, Refusal> {
    let (filter, name) = what;
    let request = v1::ListTenantConnectionsRequest {
        tenant_id: tenant.to_owned(),
        page_size: 1,
        selection: Some(selection),
        ..Default::default()
    };
    let listed = console.vault.admin().list_tenant_connections(request).await?.into_inner();
    let list = link("/connections", &[("tenant", tenant), (filter, name.replace(' ', "_").as_str())]);
    Ok(Part { name, tone, count: listed.total.unwrap_or(0), list })
}

fn part(title: &str, parts: Result<Vec<Part>, Refusal>) -> Markup {
    let parts = match parts {
        Ok(parts) => parts,
        Err(refusal) => return refusal.shown(),
    };
    html! {
        section {
            h3 { (title) }
            (share(title, &parts))
            ul class="counts" {
                @for part in &parts {
                    li {
                        a href=(part.list) {
                            span class={ "swatch " (part.tone.class()) } {}
                            (part.name) ": "
                            strong { (number(part.count)) @if part.count >= MAX_COUNT { " or more" } }
                        }
                    }
                }
            }
        }
    }
}

/// The parts as one bar. The list below it has the numbers, so readers of screens skip the bar.
fn share(title: &str, parts: &[Part]) -> Markup {
    const WIDTH: i64 = 720;
    let total = parts.iter().map(|part| part.count).sum::<i64>().max(1);
    let mut left = 0;
    let mut bars = Vec::new();
    for part in parts.iter().filter(|part| part.count > 0) {
        let width = (part.count * WIDTH / total).max(2);
        bars.push((part.tone.class(), left, width));
        left += width;
    }
    html! {
        svg class="share" viewBox={ "0 0 " (WIDTH) " 14" } aria-hidden="true" data-title=(title) {
            @for (class, left, width) in bars { rect class=(class) x=(left) y="0" width=(width) height="14" {} }
        }
    }
}
