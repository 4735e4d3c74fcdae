//! Why a provider's answer is a refusal, in the few kinds that the vault handles differently.

/// Why an answer gives no tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalKind {
    /// Only a new consent helps, or a new credential if the client is the connection's own.
    InvalidGrant,
    /// The provider rejects the id or secret of the platform's app. No connection is at fault.
    InvalidClient,
    /// The provider asks for fewer calls.
    RateLimited,
    /// Another request for the same tokens is in progress at the provider. The next request may succeed.
    ConcurrentRequest,
    /// The provider rejects the times in a signed assertion: its clock and the vault's differ.
    ClockSkew,
    /// The provider is out of order, or another server answers in its place.
    Outage,
    /// A refusal that the provider's file does not describe.
    Unknown,
}

impl RefusalKind {
    /// Whether the provider itself has answered, and is in order.
    pub fn is_answer(self) -> bool {
        self != Self::Outage
    }

    /// The kind that follows from the status alone. `has_body` is whether the provider itself has answered: a gateway,
    /// a firewall or a cache answers with a page, which is no JSON body, and may do so with any status.
    pub(crate) fn of_status(status: u16, has_body: bool) -> Self {
        match status {
            429 => Self::RateLimited,
            // 408 Request Timeout and 425 Too Early say nothing about the tokens.
            408 | 425 | 500.. => Self::Outage,
            _ if !has_body => Self::Outage,
            _ => Self::Unknown,
        }
    }
}
