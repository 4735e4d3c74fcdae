//! How many connections there are in each state and in each health: of a tenant, of the platform itself, or of all together, with
//! the tenants that have the most trouble. The vault counts all of it in one call.

use credvault_proto::v1;
use maud::{Markup, html};

use crate::console::Console;
use crate::fields::link;
use crate::frame::table;
use crate::refusal::{self, Refusal};
use crate::words::{Tone, number, word};

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

/// Whose connections are counted.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// Those of the tenant with this id; of the platform itself if it is empty.
    Tenant(&'a str),
    /// Those of all tenants that the operator may see, and the platform's own.
    All,
}

/// One count with its word, its colour, and the list that has what was counted, where there is one.
struct Part {
    name: String,
    tone: Tone,
    count: i64,
    list: Option<String>,
}

/// The counts as two bars; those of one tenant with links, those of all with the tenants in trouble.
pub(crate) async fn shown(console: &Console, whose: Whose<'_>) -> Markup {
    let drawn = |counted: v1::CountConnectionsResponse| {
        html! {
            (pair(whose, &counted.counts))
            @if matches!(whose, Whose::All) { (troubled(&counted.by_tenant)) }
        }
    };
    refusal::shown(counted(console, whose).await.map(drawn))
}

/// The tenants with the most connections that do not work, with links to these.
fn troubled(tenants: &[v1::TenantConnectionCounts]) -> Markup {
    if tenants.is_empty() {
        return html! { p { "No connection of a tenant has ended, is in error, or is at a provider with an incident." } };
    }
    let rows: Vec<_> = tenants.iter().map(tenant_row).collect();
    let headings = ["Tenant", "Error", "Ended", "Provider incident", "Ok", "All"];
    html! {
        h3 { "Tenants whose connections do not work" }
        (table("Tenants whose connections do not work", &headings, &rows))
    }
}

fn tenant_row(tenant: &v1::TenantConnectionCounts) -> Vec<Markup> {
    let id = tenant.tenant_id.as_str();
    let of = |health: v1::HealthState| {
        let alike = tenant.counts.iter().filter(|one| one.health() == health);
        let name = word(health.as_str_name(), "HEALTH_STATE_").replace(' ', "_");
        let list = link("/connections", &[("tenant", id), ("health", name.as_str())]);
        match alike.map(|one| one.count).sum::<i64>() {
            0 => html! { span class="quiet" { "0" } },
            count => html! { a href=(list) { (number(count)) } },
        }
    };
    let all = tenant.counts.iter().map(|one| one.count).sum::<i64>();
    vec![
        html! { a href=(link("/tenant", &[("tenant", id)])) { (id) } },
        of(v1::HealthState::Error),
        of(v1::HealthState::Ended),
        of(v1::HealthState::ProviderIncident),
        of(v1::HealthState::Ok),
        html! { a href=(link("/connections", &[("tenant", id)])) { (number(all)) } },
    ]
}

async fn counted(console: &Console, whose: Whose<'_>) -> Result<v1::CountConnectionsResponse, Refusal> {
    let request = match whose {
        Whose::Tenant(tenant) => {
            v1::CountConnectionsRequest { tenant_id: tenant.to_owned(), all_tenants: false }
        }
        Whose::All => v1::CountConnectionsRequest { tenant_id: String::new(), all_tenants: true },
    };
    Ok(console.vault.admin().count_connections(request).await?.into_inner())
}

fn pair(whose: Whose<'_>, counts: &[v1::ConnectionCount]) -> Markup {
    let list = |filter: &str, name: &str| match whose {
        Whose::Tenant(tenant) => {
            Some(link("/connections", &[("tenant", tenant), (filter, name.replace(' ', "_").as_str())]))
        }
        Whose::All => None,
    };
    let sum = |alike: &dyn Fn(&v1::ConnectionCount) -> bool| {
        counts.iter().filter(|one| alike(one)).map(|one| one.count).sum::<i64>()
    };
    let states = STATES.map(|(state, tone)| {
        let name = word(state.as_str_name(), "CONNECTION_STATE_");
        Part { list: list("state", &name), name, tone, count: sum(&|one| one.state() == state) }
    });
    let healths = HEALTHS.map(|(health, tone)| {
        let name = word(health.as_str_name(), "HEALTH_STATE_");
        Part { list: list("health", &name), name, tone, count: sum(&|one| one.health() == health) }
    });
    html! {
        div class="pair" {
            (part("By state", &states))
            (part("By health", &healths))
        }
    }
}

fn part(title: &str, parts: &[Part]) -> Markup {
    let label = |part: &Part| {
        html! {
            span class={ "swatch " (part.tone.class()) } {}
            (part.name) ": " strong { (number(part.count)) }
        }
    };
    html! {
        section {
            h3 { (title) }
            (share(title, parts))
            ul class="counts" {
                @for part in parts {
                    li {
                        @if let Some(list) = &part.list { a href=(list) { (label(part)) } }
                        @else { (label(part)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn count(state: v1::ConnectionState, health: v1::HealthState, count: i64) -> v1::ConnectionCount {
        v1::ConnectionCount { state: state.into(), health: health.into(), count }
    }

    #[test]
    fn counts_are_summed_by_state_and_by_health() {
        let counts = [
            count(v1::ConnectionState::Connected, v1::HealthState::Ok, 1_000),
            count(v1::ConnectionState::Connected, v1::HealthState::ProviderIncident, 20),
            count(v1::ConnectionState::Error, v1::HealthState::ProviderIncident, 3),
        ];
        let text = pair(Whose::Tenant("acme"), &counts).into_string();
        for part in ["connected: <strong>1,020", "error: <strong>3", "provider incident: <strong>23"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("/connections?tenant=acme&amp;health=provider_incident"), "{text}");
        let all = pair(Whose::All, &counts).into_string();
        assert!(all.contains("connected: <strong>1,020") && !all.contains("href"), "no list has all: {all}");
    }

    #[test]
    fn tenants_in_trouble_lead_to_their_broken_connections() {
        let counts = vec![
            count(v1::ConnectionState::Error, v1::HealthState::Error, 3),
            count(v1::ConnectionState::Disconnected, v1::HealthState::Error, 1),
            count(v1::ConnectionState::Connected, v1::HealthState::Ok, 1_000),
        ];
        let acme = v1::TenantConnectionCounts { tenant_id: "acme".to_owned(), counts };
        let text = troubled(&[acme]).into_string();
        assert!(text.contains("href=\"/connections?tenant=acme&amp;health=error\">4</a>"), "{text}");
        assert!(text.contains("href=\"/connections?tenant=acme\">1,004</a>"), "{text}");
        assert!(!text.contains("health=ended"), "what there is none of has no link: {text}");
        assert!(!troubled(&[]).into_string().contains("<table"), "there is nothing to list");
    }
}
