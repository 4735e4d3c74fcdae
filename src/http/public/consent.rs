//! The pages of a consent that goes well: the provider has answered, the person confirms, the account is connected.

use credvault_operations::consents::browser::{Connected, Question, Returned};
use http::StatusCode;
use maud::{Markup, html};

use super::page::Page;
use crate::pages::parts::{Tone, Weight, actions, facts, post};
use crate::pages::texts::{ConsentTexts, HomeTexts, Said};

/// The page at the port's root, which the operator's name heads.
pub(super) fn home(name: &str, texts: &HomeTexts) -> Page {
    let said = Said { title: name.to_owned(), text: texts.text.clone() };
    Page::said(StatusCode::OK, "home", &said).reloading()
}

/// The page of a consent that has come back.
pub(super) fn returned(returned: Returned, texts: &ConsentTexts) -> Page {
    match returned {
        Returned::ToPage { provider, page, result } => {
            Page::said(StatusCode::OK, "returned", &texts.returned)
                .with_values(&[("provider", provider.as_str())])
                .reloading()
                .telling(Some(page), "returned")
                .with_result(result)
        }
        Returned::ToPerson(question) => {
            let asked = ask(&question, texts);
            Page::said(StatusCode::OK, "confirm", &texts.confirm).asking(asked).reloading()
        }
    }
}

/// The page of an account that the person has connected.
pub(super) fn connected(connected: &Connected, texts: &ConsentTexts) -> Page {
    let Connected { provider, account_id, tenant } = connected;
    let id = account_id.as_deref().unwrap_or_default();
    let below = html! {
        @if !id.is_empty() { (facts(&[(texts.account_id.as_str(), id)])) }
        p { (texts.close) }
    };
    Page::said(StatusCode::OK, "connected", &texts.connected)
        .with_values(&[("provider", provider.as_str()), ("tenant", tenant.as_str())])
        .in_tone(Tone::Good)
        .showing(below)
}

/// What the person confirms, with a button for each decision.
fn ask(question: &Question, texts: &ConsentTexts) -> Markup {
    let Question { provider, account, account_id, tenant, code, consent } = question;
    let decide = |decision, weight, label| {
        post("/oauth/confirm", &[("consent", consent.as_str()), ("decision", decision)], weight, label)
    };
    html! {
        (facts(&[
            (texts.provider.as_str(), provider.as_str()),
            (texts.account.as_str(), account.as_str()),
            (texts.account_id.as_str(), account_id.as_deref().unwrap_or_default()),
            (texts.tenant.as_str(), tenant.as_str()),
        ]))
        p class="label" { (texts.code) }
        p class="code" { (code) }
        (actions(&[
            decide("connect", Weight::Primary, &texts.connect),
            decide("cancel", Weight::Secondary, &texts.cancel),
        ]))
    }
}
