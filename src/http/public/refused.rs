//! The pages of refusals: for each what happened and what to do, in the words of the person who reads it. What only the
//! operators understand stands behind the details.

use credvault_broker::ConsentError;
use credvault_domain::Reason;
use credvault_store::{AuthorizationError, ConnectSessionError, Error};
use http::StatusCode;

use credvault_operations::Refusal;
use credvault_operations::consents::browser::Refused;

use super::page::Page;
use crate::pages::parts::{Tone, Weight, actions, link_to_window};
use crate::pages::texts::{RefusedTexts, Said};

/// The page of a refusal, with what the page that waits learns of it.
pub(super) fn page_of(refused: Refused, texts: &RefusedTexts) -> Page {
    let Refused { refusal, waiting, trace } = refused;
    let denied = matches!(refusal, Refusal::Consent(ConsentError::Denied));
    let outcome = if denied { "denied" } else { "failed" };
    page_of_refusal(&refusal, texts).recorded_as(trace).telling(waiting.map(|page| *page), outcome)
}

/// The page of a refusal that no other page learns of.
pub(super) fn page_of_refusal(refusal: &Refusal, texts: &RefusedTexts) -> Page {
    let page = match refusal {
        Refusal::Store(Error::Authorization(error)) => of_state(*error, texts),
        Refusal::Store(Error::ConnectSession(error)) => of_session(*error, texts),
        Refusal::Store(Error::ConnectionNotFound) => of_state(AuthorizationError::Unknown, texts),
        Refusal::Consent(error) => of_consent(error, texts),
        Refusal::Invalid(_) => bad(StatusCode::BAD_REQUEST, "invalid_answer", &texts.invalid_answer),
        // Which service may do what is the operators' matter, so a browser is not shown it.
        Refusal::Identity(_) | Refusal::Source(_) => {
            bad(StatusCode::FORBIDDEN, "not_permitted", &texts.not_permitted)
        }
        Refusal::Store(Error::Unavailable(_))
        | Refusal::Spent(_)
        | Refusal::RateLimited(_)
        | Refusal::TooManyRejections(_)
        | Refusal::Overloaded
        | Refusal::TooManyStreams
        | Refusal::NoRoom
        | Refusal::NoRoomForTenant
        | Refusal::AnswerFull
        | Refusal::Deadline => unavailable(texts),
        Refusal::Internal => broken(texts),
        Refusal::Store(_)
        | Refusal::Session(_)
        | Refusal::Settings(_)
        | Refusal::Unreadable(_)
        | Refusal::ProviderUnknown
        | Refusal::CatalogEntryGone(_)
        | Refusal::NotConfigured { .. }
        | Refusal::Test(_)
        | Refusal::Incomplete(_)
        | Refusal::AppSecret(_)
        | Refusal::Refresh(_)
        | Refusal::Rotation(_)
        | Refusal::RequirementUnknown { .. } => refused_page(texts, refusal),
    };
    page.because(refusal.recorded_reason())
}

fn of_state(error: AuthorizationError, texts: &RefusedTexts) -> Page {
    use AuthorizationError as A;
    let (status, kind, said) = match error {
        A::Missing => (StatusCode::BAD_REQUEST, "incomplete", &texts.incomplete),
        A::Ambiguous => (StatusCode::BAD_REQUEST, "ambiguous", &texts.ambiguous),
        A::Expired => (StatusCode::BAD_REQUEST, "expired", &texts.expired),
        A::Replayed => (StatusCode::BAD_REQUEST, "used", &texts.used),
        A::OtherProvider => (StatusCode::FORBIDDEN, "other_provider", &texts.other_provider),
        A::Foreign => (StatusCode::FORBIDDEN, "foreign", &texts.foreign),
        A::OtherWay => (StatusCode::FORBIDDEN, "other_way", &texts.other_way),
        A::Unknown => (StatusCode::BAD_REQUEST, "unknown", &texts.unknown),
    };
    bad(status, kind, said)
}

/// The page of a connect page that does not open, or of a request that is not its own.
fn of_session(error: ConnectSessionError, texts: &RefusedTexts) -> Page {
    use ConnectSessionError as C;
    let (status, kind, said) = match error {
        C::Unknown => (StatusCode::NOT_FOUND, "no_session", &texts.no_session),
        C::Expired => (StatusCode::BAD_REQUEST, "late_session", &texts.late_session),
        C::Foreign => (StatusCode::FORBIDDEN, "foreign_session", &texts.foreign_session),
        C::Forged => (StatusCode::FORBIDDEN, "forged", &texts.forged),
    };
    bad(status, kind, said)
}

fn of_consent(error: &ConsentError, texts: &RefusedTexts) -> Page {
    match error {
        // Nothing went wrong here, so the status says so.
        ConsentError::Denied => Page::said(StatusCode::OK, "denied", &texts.denied).in_tone(Tone::Neutral),
        ConsentError::NotGranted => bad(StatusCode::OK, "no_access", &texts.no_access),
        ConsentError::NotDelivered => bad(StatusCode::BAD_REQUEST, "no_keys", &texts.no_keys),
        ConsentError::AppChanged | ConsentError::SettingsChanged => {
            bad(StatusCode::BAD_REQUEST, "changed", &texts.changed)
        }
        ConsentError::CodeRefused | ConsentError::Refused(_) => {
            bad(StatusCode::BAD_REQUEST, "provider_refused", &texts.provider_refused)
        }
        ConsentError::Unavailable | ConsentError::Throttled { .. } => unavailable(texts),
        ConsentError::ModeWithoutConsent
        | ConsentError::AppMissing
        | ConsentError::Invalid(_)
        | ConsentError::NoPublicUrl
        | ConsentError::AppRefused
        | ConsentError::Store(_) => refused_page(texts, error),
    }
}

/// What the operators must mend: they read the vault's own words, which say how.
fn refused_page(texts: &RefusedTexts, why: &impl ToString) -> Page {
    bad(StatusCode::BAD_REQUEST, "refused", &texts.refused).explained(why.to_string())
}

pub(super) fn busy(texts: &RefusedTexts) -> Page {
    bad(StatusCode::SERVICE_UNAVAILABLE, "busy", &texts.busy).because(Reason::RateLimited)
}

pub(super) fn unreadable(texts: &RefusedTexts) -> Page {
    bad(StatusCode::BAD_REQUEST, "unreadable", &texts.unreadable).because(Reason::FieldsInvalid)
}

pub(super) fn broken(texts: &RefusedTexts) -> Page {
    bad(StatusCode::INTERNAL_SERVER_ERROR, "broken", &texts.broken).because(Reason::Internal)
}

/// The page of a browser that keeps no cookie. In a frame, a window of its own may help: `url` is what it opens.
pub(super) fn no_cookies(texts: &RefusedTexts, url: Option<&str>) -> Page {
    let page = bad(StatusCode::BAD_REQUEST, "no_cookies", &texts.no_cookies).because(Reason::StateForeign);
    match url {
        Some(url) => page.asking(actions(&[link_to_window(url, Weight::Primary, &texts.open_window)])),
        None => page,
    }
}

pub(super) fn not_found(texts: &RefusedTexts) -> Page {
    Page::said(StatusCode::NOT_FOUND, "not_found", &texts.not_found).in_tone(Tone::Neutral).reloading()
}

pub(super) fn other_method(texts: &RefusedTexts) -> Page {
    bad(StatusCode::METHOD_NOT_ALLOWED, "other_method", &texts.other_method)
}

fn unavailable(texts: &RefusedTexts) -> Page {
    bad(StatusCode::BAD_GATEWAY, "unavailable", &texts.unavailable)
}

fn bad(status: StatusCode, kind: &'static str, said: &Said) -> Page {
    Page::said(status, kind, said).in_tone(Tone::Bad)
}
