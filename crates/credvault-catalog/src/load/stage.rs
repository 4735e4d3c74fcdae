//! The moments at which templates are filled, and the values that there are at each of them.

use crate::template::Placeholder;

/// When a template is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// For a caller's own requests, at any time.
    Request,
    /// When the browser is sent to the provider for a code.
    Consent,
    /// When the browser is sent to the provider for a delivery, which needs no app.
    Delivery,
    /// When a code is exchanged, before there are tokens.
    Exchange,
    /// Right after the exchange.
    PostExchange,
    /// When an assertion is made for a refresh.
    Assertion,
    /// When tokens are refreshed.
    Refresh,
    /// When a token is revoked.
    Revocation,
    /// When a credential is tested.
    Test,
    /// When another key is made that takes the place of this one.
    Mint,
    /// When a key is revoked that another one has replaced, or that was made in vain.
    KeyEnd,
    /// When a token is got that fetches public keys of webhooks.
    PublicKeyToken,
    /// When such a public key is fetched.
    PublicKey,
}

/// The values of `{flow.X}` that every call has.
const EVERY_CALL: [&str; 4] = ["now", "now_ms", "date", "uuid"];

/// The values of `{flow.X}` by which a client proves who it is.
const CLIENT_PROOF: [&str; 2] = ["client_assertion", "client_assertion_type"];

impl Stage {
    /// Whether the call authenticates a client, as RFC 6749, section 2.3 and RFC 7009, section 2.1 describe.
    pub(super) fn authenticates_client(self) -> bool {
        matches!(self, Self::Exchange | Self::Refresh | Self::Revocation | Self::PublicKeyToken)
    }

    /// Whether the call also carries what the mode's own requests carry, unless it says otherwise.
    pub(super) fn carries_auth(self) -> bool {
        matches!(self, Self::PostExchange | Self::Test | Self::Mint | Self::KeyEnd)
    }

    /// Whether the placeholder can have a value at this stage.
    pub(super) fn has(self, placeholder: &Placeholder) -> bool {
        match placeholder {
            Placeholder::Config(_) | Placeholder::Derived(_) => true,
            Placeholder::Secret(_) | Placeholder::Member(..) => self.has_secrets(),
            Placeholder::App(_) => self != Self::Delivery,
            Placeholder::Flow(name) => {
                self.flow().contains(name) || (self != Self::Request && EVERY_CALL.contains(name))
            }
        }
    }

    fn has_secrets(self) -> bool {
        match self {
            Self::Consent | Self::Delivery | Self::Exchange | Self::PublicKeyToken | Self::PublicKey => false,
            Self::Request
            | Self::PostExchange
            | Self::Assertion
            | Self::Refresh
            | Self::Revocation
            | Self::Test
            | Self::Mint
            | Self::KeyEnd => true,
        }
    }

    fn flow(self) -> &'static [&'static str] {
        match self {
            Self::Request | Self::PostExchange | Self::Mint => &[],
            Self::KeyEnd => &["old_key_id"],
            Self::Revocation | Self::Test => &CLIENT_PROOF,
            Self::Consent => &["state", "redirect_uri", "scope", "code_challenge"],
            Self::Delivery => &["state", "redirect_uri", "scope", "delivery_uri", "host"],
            Self::Exchange => &[
                "code",
                "redirect_uri",
                "code_verifier",
                "scope",
                "client_assertion",
                "client_assertion_type",
            ],
            Self::Assertion => &["scope"],
            Self::Refresh => &["scope", "assertion", "client_assertion", "client_assertion_type"],
            Self::PublicKeyToken => &["key_id"],
            Self::PublicKey => &["key_id", "token"],
        }
    }
}
