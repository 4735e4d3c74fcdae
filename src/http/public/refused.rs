//! The pages of refusals: for each what happened and what to do, in the words of the person who reads it. What only the
//! operators understand stands behind the details.

use credvault_broker::ConsentError;
use credvault_domain::Reason;
use credvault_store::{AuthorizationError, Error};
use http::StatusCode;

use credvault_operations::Refusal;
use credvault_operations::consents::browser::Refused;

use super::page::Page;
use crate::pages::parts::Tone;
use crate::pages::texts::{RefusedTexts, Said};

/// The page of a refusal, with what the page that waits learns of it.
pub(super) fn page_of(refused: Refused, texts: &RefusedTexts) -> Page {
    let Refused { refusal, waiting, trace } = refused;
    let denied = matches!(refusal, Refusal::Consent(ConsentError::Denied));
    let outcome = if denied { "denied" } else { "failed" };
    page_of_refusal(&refusal, texts).recorded_as(trace).telling(waiting.map(|page| *page), outcome)
}

fn page_of_refusal(refusal: &Refusal, texts: &RefusedTexts) -> Page {
    let page = match refusal {
        Refusal::Store(Error::Authorization(error)) => of_state(*error, texts),
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
        | Refusal::NoRoom
        | Refusal::NoRoomForTenant
        | Refusal::AnswerFull
        | Refusal::Deadline => unavailable(texts),
        Refusal::Internal => broken(texts),
        Refusal::Store(_)
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
