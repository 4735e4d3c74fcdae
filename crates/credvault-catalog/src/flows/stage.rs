//! When a template is filled, and so what it can be filled from. What can never have a value is an error of the file: it
//! would be left out in silence, or keep the call from ever being made.

use super::Known;
use crate::catalog::Problem;
use crate::locate::named;
use crate::template::{Placeholder, Template};

/// When a template is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// By callers, whenever they call the provider.
    Request,
    /// When the browser is sent to the provider.
    Consent,
    /// The same for a hand-off of keys, which needs no app.
    HandOff,
    /// When the code is there, and no token yet.
    Exchange,
    /// Right after that.
    After,
    /// When an assertion is made for the renewal.
    Assertion,
    /// When tokens are renewed.
    Renewal,
    /// When a grant is revoked.
    Revocation,
    /// At any later time: verification.
    Later,
    /// When a token is asked for, for the public keys of webhooks.
    KeyToken,
    /// When such a key is asked for.
    Key,
}

/// What there is at any time.
const MOMENT: [&str; 4] = ["now", "now_ms", "date", "uuid"];

impl Stage {
    /// Whether a client proves itself there as RFC 6749, section 2.3 and RFC 7009, section 2.1 say.
    pub(super) fn proves_client(self) -> bool {
        matches!(self, Self::Exchange | Self::Renewal | Self::Revocation | Self::KeyToken)
    }

    fn flow(self) -> &'static [&'static str] {
        match self {
            Self::Request | Self::After | Self::Revocation | Self::Later => &[],
            Self::Consent => &["state", "redirect_uri", "scope", "code_challenge"],
            Self::HandOff => &["state", "redirect_uri", "scope", "handoff_uri", "host"],
            Self::Exchange => &["code", "redirect_uri", "code_verifier", "scope"],
            Self::Assertion => &["scope"],
            Self::Renewal => &["scope", "assertion"],
            Self::KeyToken => &["key_id"],
            Self::Key => &["key_id", "token"],
        }
    }

    fn has(self, placeholder: &Placeholder) -> bool {
        match placeholder {
            Placeholder::Config(_) | Placeholder::Derived(_) => true,
            Placeholder::Secret(_) | Placeholder::Member(..) => {
                !matches!(self, Self::Consent | Self::HandOff | Self::Exchange | Self::KeyToken | Self::Key)
            }
            Placeholder::App(_) => self != Self::HandOff,
            Placeholder::Flow(name) => {
                self.flow().contains(name) || (self != Self::Request && MOMENT.contains(name))
            }
        }
    }
}

impl Known<'_> {
    /// Checks that a template can be filled at a stage.
    pub(super) fn check_stage(&self, key: &str, template: &Template, stage: Stage) -> Result<(), Problem> {
        let absent = |placeholder: &Placeholder| match placeholder {
            Placeholder::Derived(name) => {
                let derived = self.derived.get(name).map(|derived| derived.templates()).unwrap_or_default();
                !derived
                    .into_iter()
                    .flat_map(Template::placeholders)
                    .all(|placeholder| stage.has(placeholder))
            }
            other => !stage.has(other),
        };
        if let Some(absent) = template.placeholders().find(|placeholder| absent(placeholder)) {
            return Err((
                key.to_owned(),
                format!("refers to {}, which has no value there", named(&absent.to_string())),
            ));
        }
        let scope = Placeholder::Flow("scope");
        if !self.scoped && template.needed().any(|placeholder| *placeholder == scope) {
            let problem =
                "refers to flow.scope, and no scope may be asked for: mark it as optional, {flow.scope?}";
            return Err((key.to_owned(), problem.to_owned()));
        }
        Ok(())
    }
}
