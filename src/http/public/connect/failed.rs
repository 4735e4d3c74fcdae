//! What a person reads on a connect page when something that was asked of it is not done.

use credvault_operations::Refusal;
use credvault_store::Error as StoreError;
use http::StatusCode;
use maud::Markup;

use crate::http::public::page::Page;
use crate::http::public::refused;
use crate::pages::parts::Tone;
use crate::pages::texts::Texts;

/// The page of a refusal, with `below` it the way back.
pub(super) fn page(refusal: &Refusal, texts: &Texts, below: Markup) -> Page {
    let connect = &texts.connect;
    let known = if matches!(refusal, Refusal::Session(_)) {
        Some((StatusCode::FORBIDDEN, "session_limit", &connect.limited))
    } else if matches!(refusal, Refusal::Identity(_) | Refusal::Source(_)) {
        // Not only accounts are connected here, so it is said of all that a page does.
        Some((StatusCode::FORBIDDEN, "not_permitted", &connect.limited))
    } else if matches!(refusal, Refusal::Store(StoreError::ConnectionNotFound)) {
        Some((StatusCode::NOT_FOUND, "no_connection", &connect.gone))
    } else if matches!(refusal, Refusal::Store(StoreError::OtherAccount)) {
        Some((StatusCode::BAD_REQUEST, "other_account", &connect.other_account))
    } else if matches!(refusal, Refusal::Invalid(_)) {
        Some((StatusCode::BAD_REQUEST, "wrong_request", &connect.wrong_request))
    } else if is_passing(refusal) {
        Some((StatusCode::SERVICE_UNAVAILABLE, "later", &connect.later))
    } else {
        None
    };
    let page = match known {
        Some((status, kind, said)) => {
            Page::said(status, kind, said).in_tone(Tone::Bad).because(refusal.recorded_reason())
        }
        None => refused::page_of_refusal(refusal, &texts.refused),
    };
    // Such as an app whose consents come back to a back end, which only the operators can mend.
    let page =
        if matches!(refusal, Refusal::Invalid(_)) { page.explained(refusal.to_string()) } else { page };
    page.asking(below)
}

/// Whether the same may work in a few minutes.
fn is_passing(refusal: &Refusal) -> bool {
    refusal.retry_delay().is_some()
        || matches!(refusal, Refusal::Test(_) | Refusal::Store(StoreError::Unavailable(_)))
}
