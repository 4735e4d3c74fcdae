//! The faults that a test can prescribe for single token requests: slow, lost, refused or broken answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::seconds;

/// The treatment of one request at the token endpoint. In JSON: `"lose_answer"`, `{"fail":{"status":502}}`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// The request is answered normally.
    #[default]
    Answer,
    /// The request is answered normally, but slowly. These waits are added to those of the behaviour.
    Slow {
        /// The wait between the request's arrival and its effect.
        #[serde(default, with = "seconds")]
        before_effect: Duration,
        /// The wait between its effect and the answer.
        #[serde(default, with = "seconds")]
        after_effect: Duration,
    },
    /// The request takes effect, then the connection closes without a byte of an answer. The caller cannot distinguish this
    /// from [`Step::HangUp`].
    LoseAnswer,
    /// The connection closes without an answer and without an effect.
    HangUp,
    /// The request is refused in the behaviour's dialect, without an effect.
    Refuse(Refusal),
    /// 429, without an effect.
    Throttle {
        /// The form of the header `Retry-After`.
        #[serde(default)]
        retry_after: RetryAfter,
    },
    /// An error of the server, with a page instead of JSON.
    Fail {
        /// The HTTP status, such as 503. One that HTTP does not know becomes 500.
        status: u16,
        /// Whether the request takes effect nevertheless, as behind a gateway that timed out (504).
        #[serde(default)]
        after_effect: bool,
    },
    /// 307 to another URL, without an effect: the answer of a hijacked or misconfigured host.
    Redirect {
        /// The URL in the header `Location`.
        to: String,
    },
    /// The right answer, padded to more than two MiB.
    Huge,
    /// 200 with a page of HTML, without an effect: a login wall, a maintenance page.
    NotJson,
    /// The right answer, in pieces that come slowly.
    Drip {
        /// Bytes in a piece, at least one.
        piece: usize,
        /// Time before each piece.
        #[serde(with = "seconds")]
        every: Duration,
    },
}

/// The reason why a token request is refused: the codes of RFC 6749, section 5.2, with two reasons for `invalid_grant`, as
/// several providers have.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The request itself is wrong: `invalid_request`.
    InvalidRequest,
    /// The app's id or secret is wrong: `invalid_client`.
    InvalidClient,
    /// The code is unknown, used, too old or meant for another request: `invalid_grant`.
    BadCode,
    /// The refresh token or assertion is unknown, used, too old or revoked: `invalid_grant`.
    DeadGrant,
    /// The app may not use this grant: `unauthorized_client`.
    UnauthorizedClient,
    /// There is no such grant: `unsupported_grant_type`.
    UnsupportedGrantType,
    /// A scope is unknown: `invalid_scope`.
    InvalidScope,
}

impl Refusal {
    /// The error code of RFC 6749.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::BadCode | Self::DeadGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
        }
    }
}

/// The form of `Retry-After` in a 429 (RFC 9110, section 10.2.3).
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// No such header: Kustomer, HubSpot.
    #[default]
    Absent,
    /// `Retry-After` with so many seconds: Shopify, Xero, Microsoft.
    Seconds(u64),
    /// `Retry-After` with the date in so many seconds: what proxies in front of a provider may send.
    Date(u64),
}
