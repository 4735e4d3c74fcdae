//! A page of the consent flow: what it says, what it has the browser do, and what it tells the page that waits. What varies
//! in it is text of the vault's languages, names, and the id of an account as the provider wrote it; `maud` escapes all
//! of it.

use credvault_domain::{Reason, TraceId};
use credvault_operations::consents::browser::ReturnPage;
use http::StatusCode;
use maud::{Markup, html};
use secrecy::{ExposeSecret as _, SecretString};

use crate::pages::parts::{Tone, Weight, actions, disclosure, link, mark};
use crate::pages::texts::{ConsentTexts, FrameTexts, Said, fill};
use crate::pages::{Design, Frame, Language};

/// A page with its status and, if the consent has ended, the message to the application.
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// The name of the page in metrics. It stays when the wording of the title changes.
    pub(super) kind: &'static str,
    tone: Option<Tone>,
    title: String,
    /// What happened, and what the person can do.
    text: String,
    /// The reason of the error, or empty.
    pub(super) reason: &'static str,
    /// The trace of the record of the refusal.
    trace: Option<TraceId>,
    /// The vault's own words about an error, for operators; or empty.
    explanation: String,
    message: Option<Box<Message>>,
    /// What stands below the text.
    content: Option<Markup>,
    /// Whether the page has no buttons of its own, so that it ends with the way back.
    ends: bool,
    /// Where the browser may load the page again, if it may; empty for the page's own address.
    reloads: Option<String>,
}

/// The message to the page that waits.
struct Message {
    /// The page that receives it.
    back: ReturnPage,
    /// `returned`, `denied` or `failed`.
    outcome: &'static str,
    /// The `result` for CompleteAuthorization.
    result: Option<SecretString>,
}

impl Page {
    /// A page that says one thing, and is not loaded again.
    pub(super) fn said(status: StatusCode, kind: &'static str, said: &Said) -> Self {
        Self {
            status,
            kind,
            tone: None,
            title: said.title.clone(),
            text: said.text.clone(),
            reason: "",
            trace: None,
            explanation: String::new(),
            message: None,
            content: None,
            ends: true,
            reloads: None,
        }
    }

    /// Fills the places of the text.
    pub(super) fn with_values(self, values: &[(&str, &str)]) -> Self {
        Self { text: fill(&self.text, values), ..self }
    }

    pub(super) fn in_tone(self, tone: Tone) -> Self {
        Self { tone: Some(tone), ..self }
    }

    pub(super) fn because(self, reason: Reason) -> Self {
        Self { reason: reason.as_str(), ..self }
    }

    pub(super) fn recorded_as(self, trace: Option<TraceId>) -> Self {
        Self { trace, ..self }
    }

    pub(super) fn explained(self, explanation: String) -> Self {
        Self { explanation, ..self }
    }

    /// Adds what stands below the text.
    pub(super) fn showing(self, content: Markup) -> Self {
        Self { content: Some(content), ..self }
    }

    /// A page with buttons of its own.
    pub(super) fn asking(self, content: Markup) -> Self {
        Self { content: Some(content), ends: false, ..self }
    }

    /// A page that the browser may load again.
    pub(super) fn reloading(self) -> Self {
        self.reloading_at(String::new())
    }

    /// A page that is, or in whose place there is, something to load at an address of this site.
    pub(super) fn reloading_at(self, address: String) -> Self {
        Self { reloads: Some(address), ..self }
    }

    /// A page that the browser may not load again.
    pub(super) fn once(self) -> Self {
        Self { reloads: None, ..self }
    }

    pub(super) fn telling(self, back: Option<ReturnPage>, outcome: &'static str) -> Self {
        Self { message: back.map(|back| Box::new(Message { back, outcome, result: None })), ..self }
    }

    pub(super) fn with_result(mut self, result: SecretString) -> Self {
        if let Some(message) = &mut self.message {
            message.result = Some(result);
        }
        self
    }

    /// The whole document, in this language.
    pub(super) fn html(&self, design: &Design, language: &Language) -> Markup {
        let message = self.message.as_deref();
        let texts = &language.texts;
        let main = html! {
            main
                data-origin=[message.map(|message| &message.back.origin)]
                data-outcome=[message.map(|message| message.outcome)]
                data-reason=[message.map(|_| self.reason)]
                data-result=[message.map(Message::result)] {
                @if let Some(tone) = self.tone { (mark(tone)) }
                h1 { (self.title) }
                @if !self.text.is_empty() { p { (self.text) } }
                @if let Some(content) = &self.content { (content) }
                @if let Some(message) = message {
                    (message.onward(self.reason, &texts.consent))
                } @else if let Some(home) = design.brand.home_url.as_deref().filter(|_| self.ends) {
                    (actions(&[link(home, Weight::Secondary, &fill(&texts.frame.back, &[("name", design.brand.name.as_str())]))]))
                }
                @if !self.reason.is_empty() { (disclosure(&texts.frame.details, &self.details(&texts.frame))) }
            }
        };
        Frame { design, language, title: &self.title, reloads: self.reloads.as_deref() }.around(&main)
    }

    /// What the operators need to find out more.
    fn details(&self, texts: &FrameTexts) -> Markup {
        html! {
            dl class="facts" {
                div { dt { (texts.reason) } dd class="reason" { (self.reason) } }
                @if let Some(trace) = self.trace {
                    div { dt { (texts.trace) } dd class="trace" { (trace.to_string()) } }
                }
                @if !self.explanation.is_empty() {
                    div { dt { (texts.explanation) } dd lang="en" { (self.explanation) } }
                }
            }
        }
    }
}

impl Message {
    fn result(&self) -> &str {
        self.result.as_ref().map_or("", |result| result.expose_secret())
    }

    /// The way back by hand: the same message in the address's fragment, which browsers send to no server.
    fn onward(&self, reason: &str, texts: &ConsentTexts) -> Markup {
        let pairs = [
            ("type", "credvault.authorization"),
            ("outcome", self.outcome),
            ("reason", reason),
            ("result", self.result()),
        ];
        let fragment = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let site = self.back.origin.split_once("://").map_or(self.back.origin.as_str(), |(_, name)| name);
        html! {
            div class="actions" {
                a class="button primary" id="onward" href={ (self.back.url) "#" (fragment) } {
                    (fill(&texts.onward, &[("site", site)]))
                }
            }
        }
    }
}
