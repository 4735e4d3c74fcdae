//! What a session does not allow, whatever policy permits its service.

use credvault_domain::ConnectAction;

/// Why a connect page does not do what was asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SessionLimit {
    /// The session was made without this action.
    #[error(
        "this page may not {}: its session was made without that action; open the page anew from the application, which names \
         the actions in CreateConnectSession",
        .0.as_str()
    )]
    Action(ConnectAction),
    /// The session was made for other providers.
    #[error(
        "this page does not show this provider: its session names others; open the page anew from the application, which names \
         the providers in CreateConnectSession"
    )]
    Provider,
    /// The session may not change what all users of the tenant share.
    #[error(
        "this page may not change connections that all users share; the application sets manage_shared in CreateConnectSession \
         for people who may"
    )]
    Shared,
}
