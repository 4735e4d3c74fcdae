//! The reasons why a caller is refused. `Error` holds no secret: it goes into logs and answers.

use std::time::Duration;

use credvault_domain::{Action, ServiceId};

use crate::{CertificateError, TokenError};

/// The reason why a caller is refused. No variant holds a token or a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client certificate names no acceptable service, or is not valid any more.
    #[error("the client certificate is refused: {0}")]
    Certificate(#[from] CertificateError),
    /// The bearer token does not verify.
    #[error("the bearer token is refused: {0}")]
    Token(#[from] TokenError),
    /// The value of a header breaks its rule.
    #[error("the header {header} {rule}")]
    Header {
        /// The name of the header.
        header: &'static str,
        /// The rule, as the end of a sentence about the header.
        rule: String,
    },
    /// The call names no tenant.
    #[error(
        "the call names no tenant: send a bearer token of a configured issuer, or x-tenant-id if policy trusts this \
         service as a delegate"
    )]
    TenantMissing,
    /// Token and header disagree.
    #[error("the token and the header {0} disagree; leave the header out, because the token decides")]
    Mismatch(&'static str),
    /// Policy does not permit the call.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// The vault has no keys of the issuer at the moment.
    #[error("the signing keys of the issuer {issuer} cannot be fetched at the moment; try again")]
    KeysUnavailable {
        /// The issuer's configured name.
        issuer: String,
        /// The time until the vault fetches them again.
        retry: Duration,
    },
}

/// A refusal by policy, with the policies that caused it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The service that called.
    pub service: ServiceId,
    /// The action that it called.
    pub action: Action,
    /// The policies that forbid the call or cannot be evaluated; empty if no policy permits it.
    pub policies: Vec<String>,
    /// Whether those policies cannot be evaluated.
    pub unevaluated: bool,
    /// The advice of the forbidding policy, from its annotation `@advice`.
    pub advice: Option<String>,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (service, action) = (&self.service, self.action.as_str());
        if self.policies.is_empty() {
            return write!(
                f,
                "no policy permits {service} {action} here; the platform's administrators can add a permit for it"
            );
        }
        if self.unevaluated {
            return write!(
                f,
                "the policy {} cannot be evaluated, so {service} {action} is denied here; the platform's \
                 administrators can mend it",
                self.policies.join(", ")
            );
        }
        write!(f, "the policy {} forbids {service} {action} here", self.policies.join(", "))?;
        match &self.advice {
            Some(advice) => write!(f, ": {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Denial {}
