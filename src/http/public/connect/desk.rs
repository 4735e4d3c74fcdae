//! How a request of a connect page is let in and answered: with the page's own headers, in the session's language, and with what
//! its script needs to know.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use credvault_domain::ConnectionId;
use credvault_operations::Refusal;
use credvault_operations::connect::{Changes, Visit, page_path};
use credvault_operations::consents::browser::Parameters;
use credvault_store::{ConnectSessionError, Error as StoreError};
use http::StatusCode;
use maud::{Markup, html};
use secrecy::ExposeSecret as _;

use super::failed;
use crate::http::public::page::Page;
use crate::http::public::port::{Port, form, see_other};
use crate::http::public::refused;
use crate::http::public::site::Visitor;
use crate::pages::parts::{Weight, link};
use crate::pages::texts::{ConnectTexts, Said};
use crate::pages::{Design, Language};

/// A browser on a connect page that it has opened.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) visit: Visit,
    pub(super) language: Arc<Language>,
    pub(super) design: Arc<Design>,
    /// How browsers reach the vault, as an origin.
    pub(super) origin: String,
    framed: bool,
}

/// What the application's page learns when a page is shown.
#[derive(Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) name: &'static str,
    pub(super) connection: &'a str,
    pub(super) provider: &'a str,
}

/// What a browser gets.
pub(super) enum Answer {
    /// A page to show.
    Page(Box<Page>),
    /// Another page of the vault's own, at this path, which can be loaded again.
    To(String),
}

impl Answer {
    pub(super) fn page(page: Page) -> Self {
        Self::Page(Box::new(page))
    }
}

/// An answer with all that it takes to send it.
struct Served {
    answer: Answer,
    visitor: Visitor,
    embedder: Option<String>,
}

/// Serves a request that only looks.
pub(super) async fn look<F, W>(port: Arc<Port>, id: String, visitor: Visitor, work: F) -> Response
where
    F: FnOnce(Guest) -> W + Send + 'static,
    W: Future<Output = Result<Answer, Refusal>> + Send + 'static,
{
    let (own, asking) = (Arc::clone(&port), visitor.clone());
    let served = port.whole(async move {
        let Some(turn) = own.turn().await else { return busy(asking, None) };
        match own.visits.enter(&id, &asking.guest).await {
            Ok(visit) => {
                drop(turn);
                match own.turn_of(&visit).await {
                    Some(_turns) => answered(&own, asking, visit, work).await,
                    None => busy(asking, visit.terms().origin.clone()),
                }
            }
            Err(refusal) => {
                let embedder = own.visits.embedder(&id).await;
                let place = id.parse().map(page_path).ok();
                let page = not_let_in(&own, &asking, &refusal, (embedder.as_deref(), place.as_deref()));
                Served { answer: Answer::page(page), visitor: asking, embedder }
            }
        }
    });
    let broken = || {
        let answer = Answer::page(refused::broken(&visitor.language.texts.refused));
        Served { answer, visitor: visitor.clone(), embedder: None }
    };
    respond(&port, &served.await.unwrap_or_else(broken))
}

/// Serves a request that changes something, with the form that it sends. One from another site is refused as if it had a wrong
/// token, whatever it brings.
pub(super) async fn change<F, W>(
    port: Arc<Port>,
    id: String,
    visitor: Visitor,
    body: Body,
    work: F,
) -> Response
where
    F: FnOnce(Guest, Changes, Parameters) -> W + Send + 'static,
    W: Future<Output = Result<Answer, Refusal>> + Send + 'static,
{
    let Some(mut fields) = form(body).await else {
        let answer = Answer::page(refused::unreadable(&visitor.language.texts.refused));
        let embedder = match port.turn().await {
            Some(_turn) => port.visits.embedder(&id).await,
            None => None,
        };
        return respond(&port, &Served { answer, visitor, embedder });
    };
    let token = fields.remove("token").filter(|_| visitor.request.own).unwrap_or_default();
    look(port, id, visitor, move |guest| async move {
        let changes = guest.visit.clone().confirmed(&token).await?;
        work(guest, changes, fields).await
    })
    .await
}

fn busy(visitor: Visitor, embedder: Option<String>) -> Served {
    let answer = Answer::page(refused::busy(&visitor.language.texts.refused));
    Served { answer, visitor, embedder }
}

/// The page of a session that does not let a browser in. If only its time is over, the application's page at `host` learns of
/// that. `place` is the session's list.
pub(super) fn not_let_in(
    port: &Port,
    visitor: &Visitor,
    refusal: &Refusal,
    (host, place): (Option<&str>, Option<&str>),
) -> Page {
    let texts = &visitor.language.texts;
    let page = refused::page_of_refusal(refusal, &texts.refused);
    let address = place.unwrap_or_default().to_owned();
    let page = if visitor.request.framed { page } else { page.reloading_at(address) };
    if !matches!(refusal, Refusal::Store(StoreError::ConnectSession(ConnectSessionError::Expired))) {
        return page;
    }
    let event = Some(Event { name: "expired", connection: "", provider: "" });
    page.showing(Script { design: &port.design, texts: &texts.connect, place, host, own: None }.markup(event))
}

async fn answered<F, W>(port: &Port, visitor: Visitor, visit: Visit, work: F) -> Served
where
    F: FnOnce(Guest) -> W + Send,
    W: Future<Output = Result<Answer, Refusal>> + Send,
{
    let visitor = port.site.in_language(visitor, &visit.terms().language);
    let embedder = visit.terms().origin.clone();
    let guest = Guest {
        visit,
        language: Arc::clone(&visitor.language),
        design: Arc::clone(&port.design),
        origin: port.site.origin().to_owned(),
        framed: visitor.request.framed,
    };
    let answer = match work(guest.clone()).await {
        Ok(answer) => answer,
        Err(refusal) => Answer::page(guest.failed(&refusal, None)),
    };
    Served { answer, visitor, embedder }
}

fn respond(port: &Port, served: &Served) -> Response {
    let mut response = match &served.answer {
        Answer::Page(page) => port.show(page, &served.visitor),
        Answer::To(path) => see_other(path),
    };
    port.site.embeddable(served.embedder.as_deref(), &mut response);
    response
}

impl Guest {
    pub(super) fn texts(&self) -> &ConnectTexts {
        &self.language.texts.connect
    }

    /// A path below the session's own; an empty `rest` is the list.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}{rest}", page_path(self.visit.id()))
    }

    /// The hidden field that says that a form is of this page.
    pub(super) fn proof(&self) -> Markup {
        html! { input type="hidden" name="token" value=(self.visit.form_token().expose_secret()); }
    }

    /// A page of the session. In a frame it has no links to other languages: a browser may not remember the choice there.
    pub(super) fn page(&self, status: StatusCode, kind: &'static str, said: &Said, content: &Markup) -> Page {
        self.page_with(status, kind, said, content, None)
    }

    /// The same, with an event for the application's page.
    pub(super) fn page_with(
        &self,
        status: StatusCode,
        kind: &'static str,
        said: &Said,
        content: &Markup,
        event: Option<Event<'_>>,
    ) -> Page {
        let page = Page::said(status, kind, said).asking(html! { (content) (self.script(event)) });
        // A form that was sent cannot be loaded again, and the list can.
        self.in_languages(page, if status == StatusCode::OK { String::new() } else { self.path("") })
    }

    /// A page with links to `address` in other languages; an empty one is the page's own. A frame has none of them.
    pub(super) fn in_languages(&self, page: Page, address: String) -> Page {
        if self.framed { page.once() } else { page.reloading_at(address) }
    }

    /// The page of a refusal, with the link back to the list and perhaps an event for the application's page.
    pub(super) fn failed(&self, refusal: &Refusal, event: Option<Event<'_>>) -> Page {
        let below = html! {
            div class="actions" { (link(&self.path(""), Weight::Secondary, &self.texts().back)) }
            (self.script(event))
        };
        self.in_languages(failed::page(refusal, &self.language.texts, below), self.path(""))
    }

    fn script(&self, event: Option<Event<'_>>) -> Markup {
        let (place, host) = (self.path(""), self.visit.terms().origin.as_deref());
        let (design, texts) = (&*self.design, self.texts());
        Script { design, texts, place: Some(&place), host, own: Some(&self.visit) }.markup(event)
    }
}

/// What the script of connect pages needs to know.
struct Script<'a> {
    design: &'a Design,
    texts: &'a ConnectTexts,
    /// The path of the session's list.
    place: Option<&'a str>,
    /// The origin of the application's page.
    host: Option<&'a str>,
    /// The request, if it was let in.
    own: Option<&'a Visit>,
}

impl Script<'_> {
    fn markup(&self, event: Option<Event<'_>>) -> Markup {
        let Self { design, texts, place, host, own } = self;
        let token = own.map(|visit| visit.form_token().expose_secret());
        // Not before its end: the page is loaded then, and must find that the time is over.
        let seconds = own.map(|visit| visit.time_left().as_secs() + 1);
        html! {
            div id="connect" hidden data-list=[*place] data-token=[token] data-host=[*host] data-seconds=[seconds]
                data-event=[event.map(|event| event.name)] data-connection=[event.map(|event| event.connection)]
                data-provider=[event.map(|event| event.provider)] data-declined=(texts.declined) data-failed=(texts.failed)
                data-other-account=(texts.other_account.text) {}
            script src=(design.connect_script()) defer {}
        }
    }
}

/// A connection's id from an address. What is none is answered as one that does not exist.
pub(super) fn connection_id(text: &str) -> Result<ConnectionId, Refusal> {
    text.parse().map_err(|_| Refusal::Store(StoreError::ConnectionNotFound))
}
