//! The pages of refusals: for each what happened and what to do, in the words of the person who reads it.

use credvault_broker::ConsentError;
use credvault_store::{AuthorizationError, ConnectSessionError, Error};
use http::StatusCode;

use credvault_operations::Refusal;
use credvault_operations::consents::browser::Refused;

use super::page::Page;

const AGAIN: &str = "Begin again in the application in which you started.";

/// The page of a refusal, with what the page that waits learns of it.
pub(super) fn page_of(refused: Refused) -> Page {
    let denied = matches!(refused.refusal, Refusal::Consent(ConsentError::Denied));
    let outcome = if denied { "denied" } else { "failed" };
    page_of_refusal(&refused.refusal).telling(refused.waiting, outcome)
}

/// The page of a refusal that no other page learns of.
pub(super) fn page_of_refusal(refusal: &Refusal) -> Page {
    let page = match refusal {
        Refusal::Store(Error::Authorization(error)) => of_state(*error),
        Refusal::Store(Error::ConnectSession(error)) => of_session(*error),
        Refusal::Store(Error::ConnectionNotFound) => of_state(AuthorizationError::Unknown),
        Refusal::Consent(error) => of_consent(error),
        Refusal::Invalid(_) => Page::plain(
            StatusCode::BAD_REQUEST,
            "invalid_answer",
            "The provider's answer is not valid",
            format!("It does not match the request, so nothing was connected. {AGAIN}"),
        ),
        // Which service may do what is the operators' matter, so a browser is not shown it.
        Refusal::Identity(_) | Refusal::Source(_) => Page::plain(
            StatusCode::FORBIDDEN,
            "not_permitted",
            "This may not be connected",
            "The application that you came from may not connect this account. Ask the people who run it."
                .to_owned(),
        ),
        Refusal::Store(Error::Unavailable(_)) | Refusal::Spent(_) => unavailable(),
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
        | Refusal::RateLimited(_)
        | Refusal::TooManyRejections(_)
        | Refusal::Overloaded
        | Refusal::NoRoom
        | Refusal::NoRoomForTenant
        | Refusal::AnswerFull
        | Refusal::Deadline
        | Refusal::RequirementUnknown { .. }
        | Refusal::Internal => not_connected(&refusal.to_string()),
    };
    page.because(refusal.recorded_reason().as_str())
}

fn of_state(error: AuthorizationError) -> Page {
    use AuthorizationError as A;
    let (status, kind, title, text) = match error {
        A::Missing => (
            StatusCode::BAD_REQUEST,
            "incomplete",
            "This address is incomplete",
            format!("It does not say which account you were connecting, so nothing was connected. {AGAIN}"),
        ),
        A::Ambiguous => (
            StatusCode::BAD_REQUEST,
            "ambiguous",
            "The provider does not say which account it means",
            "You are connecting several accounts in this browser, and this answer connected none of them. Begin again \
             with the one that you have just left."
                .to_owned(),
        ),
        A::Expired => (
            StatusCode::BAD_REQUEST,
            "expired",
            "This took too long",
            format!("The ten minutes for connecting the account have passed. {AGAIN}"),
        ),
        A::Replayed => (
            StatusCode::BAD_REQUEST,
            "used",
            "This was used already",
            "Each of these addresses works once. If the account is not connected, begin again in the application."
                .to_owned(),
        ),
        A::OtherProvider => (
            StatusCode::FORBIDDEN,
            "other_provider",
            "This is another provider's address",
            format!("The account that is being connected is not at this provider, so nothing was connected. {AGAIN}"),
        ),
        A::Foreign => (
            StatusCode::FORBIDDEN,
            "foreign",
            "This was begun elsewhere",
            format!("It can be finished only in the browser in which it was begun. {AGAIN}"),
        ),
        A::OtherWay => (
            StatusCode::FORBIDDEN,
            "other_way",
            "Continue in the application",
            "The application in which you started completes this. Go back to it.".to_owned(),
        ),
        A::Unknown => (
            StatusCode::BAD_REQUEST,
            "unknown",
            "This address is not known",
            format!("It belongs to no account that is being connected now. {AGAIN}"),
        ),
    };
    Page::plain(status, kind, title, text)
}

/// The page of a connect page that does not open.
fn of_session(error: ConnectSessionError) -> Page {
    let (status, kind, title) = match error {
        ConnectSessionError::Unknown => (StatusCode::NOT_FOUND, "no_session", "This page has ended"),
        ConnectSessionError::Expired => {
            (StatusCode::BAD_REQUEST, "late_session", "The time of this page is over")
        }
        ConnectSessionError::Foreign => {
            (StatusCode::FORBIDDEN, "foreign_session", "This page was opened in another browser")
        }
        ConnectSessionError::Forged => {
            (StatusCode::FORBIDDEN, "forged", "This request does not come from the page")
        }
    };
    let text = "Open it again in the application in which you started.";
    Page::plain(status, kind, title, text)
}

fn of_consent(error: &ConsentError) -> Page {
    match error {
        // Nothing went wrong here, so the status says so.
        ConsentError::Denied => Page::plain(
            StatusCode::OK,
            "denied",
            "Not connected",
            "You did not give access, so nothing was connected and nothing was changed. You can begin again.",
        ),
        ConsentError::NotGranted => Page::plain(
            StatusCode::OK,
            "no_access",
            "The provider gave no access",
            "The provider reports an error. Begin again; if the error persists, ask the operators of the application \
             that you came from.",
        ),
        ConsentError::Unavailable | ConsentError::Throttled { .. } => unavailable(),
        ConsentError::ModeWithoutConsent
        | ConsentError::AppMissing
        | ConsentError::AppChanged
        | ConsentError::SettingsChanged
        | ConsentError::Invalid(_)
        | ConsentError::NoPublicUrl
        | ConsentError::NotDelivered
        | ConsentError::CodeRefused
        | ConsentError::Refused(_)
        | ConsentError::AppRefused
        | ConsentError::Store(_) => not_connected(&error.to_string()),
    }
}

fn unavailable() -> Page {
    let text = format!("Nothing was connected. {AGAIN}");
    Page::plain(StatusCode::BAD_GATEWAY, "unavailable", "Not possible at the moment", text)
}

/// The vault's own words, which say what to do.
fn not_connected(why: &str) -> Page {
    let text = format!("Nothing was connected: {why}.");
    Page::plain(StatusCode::BAD_REQUEST, "refused", "Not connected", text)
}
