//! What becomes of a connection's access at its provider when the connection is deleted or purged, in facts and in words. The
//! vault destroys its own copy of a secret; whether the provider still accepts it is another matter, and this says which.

use credvault_domain::{Connection, Revocation};

use crate::Context;

/// The state of a connection's grant at its provider, as far as the vault knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantOutcome {
    /// How the revocation stands. `None`: there was none, or nothing to revoke.
    pub revocation: Option<Revocation>,
    /// Whether the provider may still accept what it has issued for the connection.
    pub remains: bool,
    /// The same in sentences for people, with what to do if the grant remains.
    pub text: String,
}

/// How far a connection is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gone {
    /// It can be undeleted.
    Deleted,
    /// It is purged, or will be as soon as its revocation is settled.
    Purged,
}

impl GrantOutcome {
    /// What becomes of the grant of a connection that is gone so far.
    pub(super) fn of(context: &Context, connection: &Connection, gone: Gone) -> Self {
        let Connection { provider, auth_mode, current_version, revocation, .. } = connection;
        let name =
            context.catalog.get(provider).map_or(provider.as_str(), |found| found.display_name.as_str());
        if *current_version > 0 {
            let text = unrevoked(name, context.is_revocable(provider, auth_mode), gone);
            return Self { revocation: None, remains: true, text };
        }
        let remains = match revocation {
            None | Some(Revocation::Done) => false,
            Some(Revocation::Unsupported | Revocation::Pending | Revocation::Failed | Revocation::Kept) => {
                true
            }
        };
        Self { revocation: *revocation, remains, text: after(name, *revocation, gone) }
    }
}

/// The words about a grant that the provider was not asked to revoke.
fn unrevoked(name: &str, revocable: bool, gone: Gone) -> String {
    let way_out = match (revocable, gone) {
        (true, Gone::Deleted) => {
            "To revoke that, call PurgeConnection with `revoke`, or UndeleteConnection and then DisconnectConnection."
        }
        (false, Gone::Deleted) => {
            "The vault cannot revoke it; the account's owner can remove the app or key at the provider."
        }
        (_, Gone::Purged) => {
            "The vault has destroyed its copy and can no longer revoke it; the account's owner can remove the app or key \
             at the provider."
        }
    };
    format!("{name} may still accept what it has issued for this connection. {way_out}")
}

/// The words about a connection without a credential.
fn after(name: &str, revocation: Option<Revocation>, gone: Gone) -> String {
    match (revocation, gone) {
        (None, _) => "The connection has no credential, so the vault has nothing to revoke.".to_owned(),
        (Some(Revocation::Done), _) => format!("{name} has revoked the access."),
        (Some(Revocation::Unsupported), _) => format!(
            "The vault cannot revoke the access at {name}; the account's owner can remove the app or key there."
        ),
        (Some(Revocation::Pending), Gone::Deleted) => {
            format!(
                "{name} has not revoked the access yet. The vault tries again by itself, for about a day."
            )
        }
        (Some(Revocation::Pending), Gone::Purged) => format!(
            "{name} has not revoked the access yet. The vault tries again by itself, for about a day, and then removes \
             the connection, whatever {name} answers."
        ),
        (Some(Revocation::Failed), _) => {
            format!(
                "The revocation at {name} has failed: the account's owner removes the app at the provider."
            )
        }
        (Some(Revocation::Kept), _) => format!(
            "Another connection has the same account at {name} and may depend on the same access. Disconnecting the last \
             of them revokes it."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_provider_or_the_reason_and_what_to_do() {
        for gone in [Gone::Deleted, Gone::Purged] {
            for revocable in [true, false] {
                let text = unrevoked("Xero", revocable, gone);
                let by_call = text.contains("PurgeConnection");
                assert_eq!(by_call, revocable && gone == Gone::Deleted, "{text}");
                assert!(
                    text.starts_with("Xero ") && (by_call || text.contains("the account's owner")),
                    "{text}"
                );
            }
            for revocation in Revocation::ALL {
                let text = after("Xero", Some(revocation), gone);
                assert!(text.contains("Xero") && text.ends_with('.'), "{text}");
            }
            assert!(after("Xero", None, gone).contains("nothing to revoke"));
        }
        assert!(after("Xero", Some(Revocation::Pending), Gone::Purged).contains("removes the connection"));
    }
}
