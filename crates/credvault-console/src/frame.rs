//! The frame of every page: head, navigation, the tenant that it is about, and what was just done. Knows no call.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use crate::assets;
use crate::fields::{Fields, link};
use crate::refusal::Refusal;
use crate::target::Target;

/// The parts of the console, in the order of the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// How the providers and the vault's work there fare.
    Overview,
    /// Connections, many of them and each.
    Connections,
    /// Tenants with their users and limits.
    Tenants,
    /// The audit log of a tenant.
    Audit,
    /// Keys and their rotations.
    Keys,
    /// Endpoints of events and deliveries.
    Events,
    /// Apps that are registered at providers.
    Apps,
    /// What policies say about calls that might be made.
    Policy,
}

impl Section {
    const ALL: [Self; 8] = [
        Self::Overview,
        Self::Connections,
        Self::Tenants,
        Self::Audit,
        Self::Keys,
        Self::Events,
        Self::Apps,
        Self::Policy,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Connections => "Connections",
            Self::Tenants => "Tenants",
            Self::Audit => "Audit",
            Self::Keys => "Keys",
            Self::Events => "Events",
            Self::Apps => "Apps",
            Self::Policy => "Policy",
        }
    }

    /// The address of its first page.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Connections => "/connections",
            Self::Tenants => "/tenants",
            Self::Audit => "/audit",
            Self::Keys => "/keys",
            Self::Events => "/events",
            Self::Apps => "/apps",
            Self::Policy => "/policy",
        }
    }

    /// The part that has the page, or the form, at this address.
    pub(crate) fn of(path: &str) -> Self {
        match path.split('/').nth(1).unwrap_or_default() {
            "connections" | "connection" => Self::Connections,
            "tenants" | "tenant" => Self::Tenants,
            "audit" => Self::Audit,
            "keys" => Self::Keys,
            "events" => Self::Events,
            "apps" => Self::Apps,
            "policy" => Self::Policy,
            _ => Self::Overview,
        }
    }

    /// What the choice of a tenant shows: the list of all tenants has none.
    fn of_tenant(self) -> Self {
        match self {
            Self::Tenants => Self::Connections,
            other @ (Self::Overview
            | Self::Connections
            | Self::Audit
            | Self::Keys
            | Self::Events
            | Self::Apps
            | Self::Policy) => other,
        }
    }
}

/// A page without what is the same on all pages. The guard, which every response passes, writes it whole.
#[derive(Clone)]
pub(crate) struct Page {
    status: StatusCode,
    section: Option<Section>,
    title: String,
    tenant: String,
    done: &'static str,
    body: Markup,
}

/// What a request was about, for the page that refuses it.
pub(crate) struct Asked {
    pub(crate) section: Section,
    pub(crate) tenant: String,
    /// The page that it came from; empty if that is not known.
    pub(crate) back: String,
}

/// What every page and every part of one may answer.
pub(crate) type Answer = Result<Page, Refusal>;

impl Page {
    /// A page of a section, about the tenant and with the news that the fields name.
    pub(crate) fn new(section: Section, title: &str, fields: &Fields, body: Markup) -> Self {
        let (tenant, done) = (fields.tenant().to_owned(), news(fields.get("done")));
        Self { status: StatusCode::OK, section: Some(section), title: title.to_owned(), tenant, done, body }
    }

    /// A page for a browser that may see nothing else.
    pub(crate) fn outside(status: StatusCode, title: &str, body: Markup) -> Self {
        Self { status, section: None, title: title.to_owned(), tenant: String::new(), done: "", body }
    }

    /// A page in place of the one that was asked for: it stays in its part and with its tenant, and leads back.
    pub(crate) fn refused(refusal: &Refusal, asked: &Asked) -> Self {
        let label = asked.section.label();
        let list = link(asked.section.path(), &[("tenant", asked.tenant.as_str())]);
        let body = html! {
            (refusal.shown())
            p {
                @if !asked.back.is_empty() { a href=(asked.back) { "Back to the page before" } " · " }
                a href=(list) { (label) }
            }
        };
        Self {
            status: refusal.status(),
            section: Some(asked.section),
            title: format!("{label}: refused"),
            tenant: asked.tenant.clone(),
            done: "",
            body,
        }
    }

    /// The same page with the status of a refusal that it shows in place of what was searched.
    pub(crate) fn with_status_of(self, refusal: Option<&Refusal>) -> Self {
        let status = refusal.map_or(self.status, Refusal::status);
        Self { status, ..self }
    }

    /// The page as the browser gets it.
    pub(crate) fn written(&self, target: &Target) -> Response {
        (self.status, Html(self.html(target).into_string())).into_response()
    }

    fn html(&self, target: &Target) -> Markup {
        // A browser that is not let in does not learn where the console leads.
        let place = self.section.map(|_| target.name());
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) @if let Some(place) = place { " · " (place) } " · credvault" }
                    link rel="icon" type="image/svg+xml" href=(assets::icon());
                    link rel="stylesheet" href=(assets::style());
                    script src=(assets::script()) defer {}
                }
                body {
                    a class="skip" href="#main" { "Skip to the content" }
                    @if let Some(section) = self.section { (self.header(section, target)) }
                    main id="main" tabindex="-1" {
                        h1 { (self.title) }
                        @if !self.done.is_empty() { p class="done" role="status" { (self.done) } }
                        (self.body)
                    }
                    @if self.section.is_some() {
                        footer {
                            "What policy denies to the certificate of your profile, this console cannot do. "
                            a href="/end" { "End the console" }
                        }
                    }
                }
            }
        }
    }

    fn header(&self, present: Section, target: &Target) -> Markup {
        html! {
            header {
                a class="brand" href=(link("/", &[("tenant", self.tenant.as_str())])) { "credvault" }
                nav aria-label="Parts of the console" {
                    ul {
                        @for section in Section::ALL {
                            li {
                                a href=(link(section.path(), &[("tenant", self.tenant.as_str())]))
                                    aria-current=[(section == present).then_some("page")] { (section.label()) }
                            }
                        }
                    }
                }
                form class="tenant" method="get" action=(present.of_tenant().path()) {
                    label for="of-tenant" { "Tenant" }
                    input id="of-tenant" name="tenant" value=(self.tenant) maxlength="64" placeholder="the platform"
                        autocomplete="off" spellcheck="false";
                    button { "Show" }
                }
                (target.shown())
            }
        }
    }
}

/// What the page before has done, by the name that its redirect carries.
fn news(name: &str) -> &'static str {
    match name {
        "suspended" => "The tenant is suspended: the vault refuses its calls. Nothing was deleted.",
        "resumed" => "The vault serves the tenant again.",
        "rotation" => "The rotation has begun. It does not need this page.",
        "app" => "The app is stored.",
        "undeleted" => "The connection is restored.",
        "retried" => "The event is sent again, at once.",
        _ => "",
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A list of several pages: how to get to the next page and back to the first one. `seen` counts what earlier pages had.
pub(crate) struct Paging<'a> {
    pub(crate) path: &'a str,
    pub(crate) carried: Vec<(&'a str, &'a str)>,
    pub(crate) next: &'a str,
    pub(crate) seen: i64,
    pub(crate) shown: usize,
}

impl Paging<'_> {
    /// The links below the list.
    pub(crate) fn links(&self) -> Markup {
        let seen = (self.seen + i64::try_from(self.shown).unwrap_or(0)).to_string();
        let mut onward = self.carried.clone();
        onward.extend([("page", self.next), ("seen", seen.as_str())]);
        html! {
            nav class="paging" aria-label="Pages of the list" {
                @if self.shown > 0 { span { (self.seen + 1) "–" (seen) } }
                @if self.seen > 0 { a href=(link(self.path, &self.carried)) { "First page" } }
                @if !self.next.is_empty() { a rel="next" href=(link(self.path, &onward)) { "Next page" } }
            }
        }
    }
}

/// A table that scrolls by itself where it is too wide. In a narrow window each row is a card whose cells have their headings
/// beside them; with the display of its parts changed, only the roles say that it is a table.
pub(crate) fn table(name: &str, headings: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(name) {
            table class="cards" role="table" {
                thead role="rowgroup" {
                    tr role="row" { @for heading in headings { th scope="col" role="columnheader" { (heading) } } }
                }
                tbody role="rowgroup" {
                    @for row in rows {
                        tr role="row" {
                            @for (cell, heading) in row.iter().zip(headings) {
                                td role="cell" data-label=(heading) { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A choice of one value; the empty one stands for any.
pub(crate) fn choice(name: &str, label: &str, chosen: &str, options: &[(&str, &str)]) -> Markup {
    html! {
        label {
            (label) " "
            select name=(name) {
                @for (value, text) in options { option value=(value) selected[*value == chosen] { (text) } }
            }
        }
    }
}

/// A field of one line.
pub(crate) fn input(kind: &str, name: &str, label: &str, value: &str) -> Markup {
    html! {
        label {
            (label) " "
            input type=(kind) name=(name) value=(value) autocomplete="off" spellcheck="false";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        let (address, caller) = ("https://vault.example:7443".to_owned(), "spiffe://a.b/operator".to_owned());
        Target { address, caller, environment: Some("staging".to_owned()) }
    }

    #[test]
    fn a_page_says_which_vault_it_is_of_and_one_for_others_does_not() {
        let text =
            Page::new(Section::Audit, "Audit", &Fields::default(), html! {}).html(&target()).into_string();
        assert!(text.contains("<title>Audit · staging · credvault</title>"), "{text}");
        assert!(
            text.contains("https://vault.example:7443") && text.contains("spiffe://a.b/operator"),
            "{text}"
        );
        let text = Page::outside(StatusCode::UNAUTHORIZED, "Out", html! {}).html(&target()).into_string();
        assert!(!text.contains("vault.example") && !text.contains("staging"), "{text}");
    }

    #[test]
    fn a_refusal_stays_in_its_part_with_its_tenant_and_leads_back() {
        let section = Section::of("/connections/change");
        let asked = Asked { section, tenant: "acme".to_owned(), back: "/connections?tenant=acme".to_owned() };
        let page = Page::refused(&Refusal::of_field("kind", "must be one of the list"), &asked);
        let text = page.html(&target()).into_string();
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(text.contains("<a href=\"/connections?tenant=acme\" aria-current=\"page\">"), "{text}");
        assert!(text.contains("Back to the page before") && text.contains("value=\"acme\""), "{text}");
        for (path, label) in [("/", "Overview"), ("/tenant/suspend", "Tenants"), ("/apps/rotate", "Apps")] {
            assert_eq!(Section::of(path).label(), label);
        }
    }

    #[test]
    fn what_stands_in_the_address_is_escaped_and_no_news_is_made_up() {
        let fields = Fields::parse(b"tenant=%22%3E%3Cscript%3E&done=%3Cscript%3E");
        let text = Page::new(Section::Audit, "<b>", &fields, html! {}).html(&target()).into_string();
        assert!(!text.contains("<script>") && !text.contains("<b>"), "{text}");
        assert!(!text.contains("class=\"done\""), "{text}");
    }

    #[test]
    fn a_list_names_its_next_page_and_what_was_seen() {
        let paging =
            Paging { path: "/tenants", carried: vec![("state", "active")], next: "t", seen: 50, shown: 50 };
        let text = paging.links().into_string();
        assert!(
            text.contains("51–100") && text.contains("/tenants?state=active&amp;page=t&amp;seen=100"),
            "{text}"
        );
        assert!(text.contains("href=\"/tenants?state=active\""), "{text}");
    }
}
