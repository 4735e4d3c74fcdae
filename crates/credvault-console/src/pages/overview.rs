//! The overview: providers in trouble, connections by state and health, and how consents, refreshes and tests ended in the
//! last days.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::counts::Whose;
use super::{Given, Shared, counts};
use crate::chart::{Series, bars};
use crate::console::Console;
use crate::fields::Fields;
use crate::frame::{Answer, Page, Section, input, table};
use crate::refusal::{Refusal, shown};
use crate::words::{Tone, badge, last_days, number, when};

/// How many days the charts show.
const DAYS: i64 = 30;

/// The overview of a tenant, or of all tenants with the platform's own connections.
pub(crate) async fn show(State(console): Shared, Extension(fields): Given) -> Answer {
    let tenant = fields.tenant();
    let (troubles, counted, rates) =
        tokio::join!(providers_in_trouble(&console), counted(&console, tenant), rates(&console, &fields));
    let of = if tenant.is_empty() { "of all tenants together" } else { "of this tenant" };
    let days = last_days(console.clock.now(), DAYS);
    let body = html! {
        section aria-labelledby="troubles" {
            h2 id="troubles" { "Providers in trouble" }
            (shown(troubles))
        }
        (counted)
        section aria-labelledby="rates" {
            h2 id="rates" { "The last " (DAYS) " days " (of) }
            (provider_filter(&fields))
            (shown(rates.map(|rates| charts(&days, &rates))))
        }
    };
    Ok(Page::new(Section::Overview, "Overview", &fields, body))
}

/// The connections in numbers: those of the tenant, or without one all together, and then the platform's own.
async fn counted(console: &Console, tenant: &str) -> Markup {
    let own = counts::shown(console, Whose::Tenant(tenant));
    if !tenant.is_empty() {
        let own = own.await;
        return html! { section aria-labelledby="counts" { h2 id="counts" { "The tenant's connections" } (own) } };
    }
    let (all, own) = tokio::join!(counts::shown(console, Whose::All), own);
    html! {
        section aria-labelledby="all" {
            h2 id="all" { "All connections" }
            p class="quiet" { "Those of all tenants that you may see, and the platform's own." }
            (all)
        }
        section aria-labelledby="counts" { h2 id="counts" { "The platform's own connections" } (own) }
    }
}

async fn providers_in_trouble(console: &Console) -> Result<Markup, Refusal> {
    let mut client = console.vault.connections("")?;
    let mut request = v1::ListProvidersRequest { page_size: 500, ..Default::default() };
    let mut rows = Vec::new();
    loop {
        let page = client.list_providers(request.clone()).await?.into_inner();
        rows.extend(page.providers.iter().filter_map(incident));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if rows.is_empty() {
        return Ok(
            html! { p { (badge(Tone::Good, "none")) " No provider fails for several tenants at the moment." } },
        );
    }
    Ok(table("Providers in trouble", &["Provider", "Since", "Tenants at least", "Last success"], &rows))
}

fn incident(provider: &v1::Provider) -> Option<Vec<Markup>> {
    let incident = provider.incident.as_ref()?;
    Some(vec![
        html! { (badge(Tone::Bad, "fails")) " " (provider.display_name) },
        when(incident.since.as_ref()),
        html! { (incident.tenants_affected_at_least) },
        when(incident.last_success_time.as_ref()),
    ])
}

async fn rates(console: &Console, fields: &Fields) -> Result<Vec<v1::ProviderRates>, Refusal> {
    let request = v1::GetSuccessRatesRequest {
        tenant_id: fields.tenant().to_owned(),
        provider: fields.get("provider").to_owned(),
        days: DAYS as i32,
        by_day: true,
    };
    Ok(console.vault.admin().get_success_rates(request).await?.into_inner().rates)
}

fn provider_filter(fields: &Fields) -> Markup {
    html! {
        form class="filter" method="get" action="/" {
            input type="hidden" name="tenant" value=(fields.tenant());
            (input("text", "provider", "Only at the provider", fields.get("provider")))
            button { "Show" }
        }
    }
}

fn charts(days: &[String], rates: &[v1::ProviderRates]) -> Markup {
    let series = |name, tone, value: fn(&v1::ProviderRates) -> i64| Series {
        name,
        tone,
        values: days.iter().map(|day| rates.iter().filter(|row| row.day == *day).map(value).sum()).collect(),
    };
    let consents = [
        series("completed", Tone::Good, |row| row.consents_completed),
        series("denied", Tone::Quiet, |row| row.consents_denied),
        series("expired", Tone::Warn, |row| row.consents_expired),
        series("failed", Tone::Bad, |row| row.consents_failed),
    ];
    let refreshes = [
        series("with new tokens", Tone::Good, |row| row.refreshes_succeeded),
        series("grant has ended", Tone::Warn, |row| row.refreshes_ended),
        series("failed", Tone::Bad, |row| row.refreshes_failed),
    ];
    let tests = [
        series("accepted", Tone::Good, |row| row.tests_accepted),
        series("without a result", Tone::Warn, |row| row.tests_unknown),
        series("rejected", Tone::Bad, |row| row.tests_rejected),
    ];
    html! {
        (bars("Consents that have ended", days, &consents))
        (bars("Refreshes", days, &refreshes))
        (bars("Tests of credentials", days, &tests))
        (by_provider(rates))
    }
}

/// Successes and all attempts, of one kind of work at one provider.
#[derive(Default, Clone, Copy)]
struct Share {
    good: i64,
    all: i64,
}

impl Share {
    fn add(&mut self, good: i64, others: i64) {
        self.good += good;
        self.all += good + others;
    }

    fn shown(self) -> Markup {
        match self.all {
            0 => html! { span class="quiet" { "–" } },
            all => html! { (self.good * 100 / all) " % of " (number(all)) },
        }
    }
}

fn by_provider(rates: &[v1::ProviderRates]) -> Markup {
    let mut sums: BTreeMap<&str, [Share; 3]> = BTreeMap::new();
    for row in rates {
        let [consents, refreshes, tests] = sums.entry(&row.provider).or_default();
        consents
            .add(row.consents_completed, row.consents_denied + row.consents_expired + row.consents_failed);
        refreshes.add(row.refreshes_succeeded, row.refreshes_failed + row.refreshes_ended);
        tests.add(row.tests_accepted, row.tests_rejected);
    }
    if sums.is_empty() {
        return html! {};
    }
    let row = |(provider, shares): (&str, [Share; 3])| {
        let mut cells = vec![html! { (provider) }];
        cells.extend(shares.map(Share::shown));
        cells
    };
    let rows: Vec<_> = sums.into_iter().map(row).collect();
    table("Success by provider", &["Provider", "Consents", "Refreshes", "Tests with a result"], &rows)
}
