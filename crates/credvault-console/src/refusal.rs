//! Why the vault, or the console itself, did not do something, with the way out. Never a value that was sent.

use std::time::Duration;

use http::StatusCode;
use maud::{Markup, html};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A part of a page, or why it is not there.
pub(crate) fn shown(part: Result<Markup, Refusal>) -> Markup {
    part.unwrap_or_else(|refusal| refusal.shown())
}

/// A refusal as a page shows it.
#[derive(Clone)]
pub(crate) struct Refusal {
    code: Code,
    /// The vault's reason, such as POLICY_DENIED; empty if the call did not reach it.
    reason: String,
    message: String,
    /// What is wrong, field by field.
    fields: Vec<(String, String)>,
    /// The trace id with which the vault's log has the call.
    trace: String,
    wait: Option<Duration>,
    /// Whether the console refused, so that the vault was not asked.
    own: bool,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let violations = details.bad_request().map(|request| request.field_violations.iter());
        let named = |name: &str| info.and_then(|info| info.metadata.get(name)).cloned().unwrap_or_default();
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            fields: violations
                .into_iter()
                .flatten()
                .map(|violation| (violation.field.clone(), violation.description.clone()))
                .collect(),
            trace: named("trace_id"),
            wait: details.retry_info().and_then(|info| info.retry_delay),
            own: false,
        }
    }
}

impl Refusal {
    /// A field that the console cannot send to the vault.
    pub(crate) fn of_field(field: &str, rule: &str) -> Self {
        Self {
            code: Code::InvalidArgument,
            reason: String::new(),
            message: "A field is not valid. The vault was not asked, and nothing was changed.".to_owned(),
            fields: vec![(field.to_owned(), rule.to_owned())],
            trace: String::new(),
            wait: None,
            own: true,
        }
    }

    /// An answer of the vault that lacks what the contract says it has, or a thing that is not there.
    pub(crate) fn missing(what: &str) -> Self {
        Self {
            code: Code::NotFound,
            reason: String::new(),
            message: format!("{what} is not there, or policy hides it from this operator."),
            fields: Vec::new(),
            trace: String::new(),
            wait: None,
            own: false,
        }
    }

    /// The same with the names that a form has for the vault's fields.
    pub(crate) fn renamed(mut self, names: &[(&str, &str)]) -> Self {
        for (field, _) in &mut self.fields {
            if let Some((_, name)) = names.iter().find(|(theirs, _)| *theirs == field.as_str()) {
                (*name).clone_into(field);
            }
        }
        self
    }

    /// What is wrong with the field of this name.
    pub(crate) fn rule(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, rule)| rule.as_str())
    }

    /// Whether the same request may succeed later.
    pub(crate) fn passes(&self) -> bool {
        matches!(self.code, Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded)
    }

    /// How long to wait before the same request is sent again, in milliseconds.
    pub(crate) fn pause_ms(&self) -> u64 {
        let wait = self.wait.unwrap_or(Duration::from_secs(5)).max(Duration::from_secs(1));
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
    }

    /// The HTTP status of a page that shows nothing else.
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            Code::Unauthenticated | Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable | Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => StatusCode::BAD_GATEWAY,
        }
    }

    /// The refusal in a box: reason, message, fields, way out, trace id.
    pub(crate) fn shown(&self) -> Markup {
        html! {
            div class="refusal" role="alert" {
                p { strong { (self.title()) } @if !self.reason.is_empty() { " " code { (self.reason) } } }
                p { (self.message) }
                @if !self.fields.is_empty() {
                    ul { @for (field, rule) in &self.fields { li { code { (field) } ": " (rule) } } }
                }
                @if let Some(wait) = self.wait { p { "Wait " (wait.as_secs().max(1)) " s, then try again." } }
                p { (self.way_out()) }
                @if !self.trace.is_empty() { p class="quiet" { "Trace id: " code { (self.trace) } } }
            }
        }
    }

    fn title(&self) -> &'static str {
        if self.own {
            return "The console cannot send this.";
        }
        match self.code {
            Code::Unauthenticated => "The vault does not accept this caller here.",
            Code::PermissionDenied => "Policy does not permit this.",
            Code::NotFound => "There is no such thing.",
            Code::InvalidArgument | Code::OutOfRange => "The vault does not accept this.",
            Code::FailedPrecondition | Code::AlreadyExists => "Not in this state.",
            Code::Aborted => "It was changed meanwhile.",
            Code::ResourceExhausted => "Too much at once.",
            Code::Unavailable | Code::DeadlineExceeded => "The vault does not answer.",
            Code::DataLoss => "A stored value does not open.",
            Code::Ok | Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal => {
                "The call failed."
            }
        }
    }

    fn way_out(&self) -> &'static str {
        match self.code {
            Code::Unauthenticated => {
                "The certificate of your profile has ended or is not known, or it may not act for the platform or for this tenant: \
                 check the profile, and in the policies ActForPlatform and AssertTenant."
            }
            Code::PermissionDenied => {
                "The policies of the vault decide this for the certificate of your profile. docs/console.md lists which \
                 actions each page needs."
            }
            Code::NotFound => "Check the tenant at the top of the page and the id in the address.",
            Code::InvalidArgument | Code::OutOfRange => {
                "Correct the fields that are named, and send it again."
            }
            Code::FailedPrecondition | Code::AlreadyExists => {
                "Look at the present state first; the message says what helps."
            }
            Code::Aborted => "Load the page again and repeat what you did.",
            Code::ResourceExhausted => "Repeat it in a moment, or raise the limit that is named.",
            Code::Unavailable | Code::DeadlineExceeded => {
                "Check that the vault serves at the address of the profile (its /readyz says why if not), and load the page \
                 again."
            }
            Code::DataLoss => {
                "docs/runbooks.md says what to do about a value that was altered outside of the vault."
            }
            Code::Ok | Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal => {
                "Load the page again. If it fails again, the log of the vault has the call by its trace id."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_console_refuses_is_not_said_of_the_vault() {
        let own = Refusal::of_field("since", "must be a day");
        let text = own.shown().into_string();
        assert!(text.contains("The console cannot send this") && text.contains("was not asked"), "{text}");
        assert!(!text.contains("The vault does not accept"), "{text}");
        assert_eq!((own.rule("since"), own.rule("before")), (Some("must be a day"), None));
        let theirs = Refusal::from(Status::invalid_argument("wrong")).shown().into_string();
        assert!(theirs.contains("The vault does not accept"), "{theirs}");
        assert_eq!(own.renamed(&[("since", "from")]).rule("from"), Some("must be a day"));
    }
}
