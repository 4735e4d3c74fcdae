//! The configuration of an issuer: its kind, its keys, and the claims that name tenant and user.

use std::path::PathBuf;
use std::time::Duration;

/// The kind of tokens that an issuer signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IssuerKind {
    /// Tokens of users, such as those of a sign-in service.
    User,
    /// Assertions: short-lived, for this vault alone, and bound to the calling service by `act.sub`.
    Assertion,
}

/// The claim that names the audience of a token, and its accepted values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AudienceClaim {
    /// The name: `aud`, or the issuer's own replacement (Clerk: `azp`).
    pub claim: String,
    /// The values of which the claim must have one.
    pub accepted: Vec<String>,
}

/// The source of an issuer's public keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// A file, which the vault reads again when it changes.
    File(PathBuf),
    /// A URL, which the vault fetches every ten minutes.
    Url(String),
}

/// The configuration of one issuer.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The name of the issuer in messages and metrics.
    pub name: String,
    /// The kind of its tokens.
    pub kind: IssuerKind,
    /// The value of the claim `iss` in its tokens.
    pub issuer: String,
    /// The source of its public keys.
    pub keys: KeySource,
    /// The audience that its tokens must name.
    pub audience: AudienceClaim,
    /// The path of the tenant's id in the claims.
    pub tenant_claim: String,
    /// The path of the user's id in the claims. A token of a user must have it; an assertion may.
    pub user_claim: String,
    /// The longest time from `iat` to `exp`.
    pub max_lifetime: Duration,
}
