//! Why the token, the state or the session that a caller brings back is not accepted.

/// Why a confirmation token is not accepted. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfirmationError {
    /// It is not the newest token that was given for this tenant.
    #[error(
        "the confirmation_token is not the newest one for this tenant; call EraseTenant without a token for another"
    )]
    Unknown,
    /// Another service has asked for it.
    #[error(
        "another service has asked for this confirmation_token; call EraseTenant without a token for one of your own"
    )]
    Foreign,
    /// The tenant has changed since.
    #[error(
        "the tenant was suspended or resumed since the confirmation_token was given; call EraseTenant without a token \
         for another"
    )]
    Changed,
    /// It has erased the tenant before.
    #[error("the confirmation_token was used, and the tenant is erased; GetErasure tells how far that is")]
    Used,
    /// Its time is over.
    #[error("the confirmation_token is older than ten minutes; call EraseTenant without a token for another")]
    Expired,
}

/// Why a state is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// The callback names none, and the browser has no open consent at that provider.
    #[error("the callback has no state, and this browser has no open consent at the provider; begin again")]
    Missing,
    /// The callback names none, and the browser has several open consents at that provider.
    #[error(
        "the callback has no state, and this browser has several open consents at the provider; begin again"
    )]
    Ambiguous,
    /// It came back to the callback of another provider than it was given to.
    #[error("the state is of a consent at another provider; begin again")]
    OtherProvider,
    /// This tenant has no such state.
    #[error("the state is not one that BeginAuthorization gave for this tenant; begin again")]
    Unknown,
    /// The state was used before.
    #[error("the state was used already; begin again")]
    Replayed,
    /// Its time is over.
    #[error("the state is older than ten minutes; begin again")]
    Expired,
    /// Another user, browser or session began it.
    #[error(
        "the consent was begun by another user, in another browser or in another session, and only they can \
         complete it"
    )]
    Foreign,
    /// It comes back through the vault's own callback, or does not.
    #[error(
        "complete this consent in the other way: with `result` if the vault's own callback received it, with \
         `parameters` if a callback of your own received it"
    )]
    OtherWay,
}

/// Why a session of the connect page is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectSessionError {
    /// There is no such session, or it has ended.
    #[error(
        "the page has ended, or its address is not one that the vault gave; open it again from the application"
    )]
    Unknown,
    /// Its time is over.
    #[error("the time of the page is over; open it again from the application")]
    Expired,
    /// Another browser has opened it.
    #[error(
        "the page was opened in another browser, and works only there; open it again from the application"
    )]
    Foreign,
    /// What was sent does not come from the page.
    #[error("the request does not come from this page, or the page is an older one; load it again")]
    Forged,
}
