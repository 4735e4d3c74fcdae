//! Why a consent cannot begin, or did not give a credential. The texts are for callers: each says what to do.

use std::time::Duration;

use credvault_domain::Violations;

/// Why a consent does not begin, or ends without a credential.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The auth mode has no consent.
    #[error(
        "the connection's auth mode needs no consent; choose another of the provider's modes to ask for one"
    )]
    ModeWithoutConsent,
    /// Neither the tenant nor the platform has stored an app.
    #[error("neither the tenant nor the platform has an app at this provider; PutOAuthApp stores it")]
    AppMissing,
    /// The app was replaced since the consent began.
    #[error("the app was replaced after the consent began; begin again")]
    AppChanged,
    /// The settings lead to another host than when the consent began.
    #[error("the connection's settings changed after the consent began; begin again")]
    SettingsChanged,
    /// The connection or the callback lacks something.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The provider delivers keys, and the vault has no address for that.
    #[error(
        "the provider delivers keys to the vault's public port, which this vault does not have; an operator must set \
         public.url"
    )]
    NoPublicUrl,
    /// The browser came back before the keys were delivered.
    #[error("the provider has not delivered its keys; begin again")]
    NotDelivered,
    /// The account's owner declined.
    #[error("the account's owner declined; begin again if it was a mistake")]
    Denied,
    /// The provider sent no code, and did not say that the owner declined.
    #[error(
        "the provider reports an error instead of a consent, for example because the app may not ask for these scopes; begin \
         again"
    )]
    NotGranted,
    /// The provider does not accept the code.
    #[error("the provider did not accept the code; begin again")]
    CodeRefused,
    /// The provider refuses to give tokens, with a code (in brackets) that its catalog file does not know.
    #[error(
        "the provider refused to give tokens for the code{0}; begin again, and if it keeps refusing, ask the provider why"
    )]
    Refused(String),
    /// The provider does not accept the app.
    #[error("the provider does not accept the platform's app; PutOAuthApp stores its current id and secret")]
    AppRefused,
    /// The provider does not answer, or a gateway answers in its place.
    #[error("the provider does not answer, or a gateway answers in its place; begin again")]
    Unavailable,
    /// The provider asks for fewer calls.
    #[error("the provider asks for fewer calls; begin again after {} seconds", retry.as_secs().max(1))]
    Throttled {
        /// When to begin again.
        retry: Duration,
    },
    /// The vault's own database failed.
    #[error(transparent)]
    Store(#[from] credvault_store::Error),
}
