//! Which items of a list the caller is shown: policy is asked about each, with all that is known of it.

use std::collections::HashMap;

use credvault_domain::{Owner, ProviderId, TenantId, TenantScope};
use credvault_identity::Facts;

use super::Call;

impl Call {
    /// Asks policy about the items of a list of this space, which the caller was permitted as a whole.
    pub(crate) fn shown<'a>(&'a self, scope: &'a TenantScope) -> Shown<'a> {
        Shown { call: self, space: scope.tenant(), answers: HashMap::new() }
    }

    /// Whether a tenant may be shown to the caller, who was permitted the list.
    pub(crate) fn shows_tenant(&self, tenant: &TenantId) -> bool {
        self.vault.identity.authorize(&self.caller, self.action, tenant, Facts::default()).is_ok()
    }

    /// Whether a provider of the catalog may be shown to the caller, who was permitted the list.
    pub(crate) fn shows_provider(&self, provider: &ProviderId) -> bool {
        let facts = Facts::of_provider(provider);
        self.vault.identity.authorize_catalog(&self.caller, self.action, facts).is_ok()
    }
}

/// What policy has answered about items of one list. Items that it cannot tell apart are asked about once: a page has
/// hundreds.
pub(crate) struct Shown<'a> {
    call: &'a Call,
    space: &'a TenantId,
    answers: HashMap<(Option<ProviderId>, Option<Owner>), bool>,
}

impl Shown<'_> {
    /// Whether an item of which this is known may be shown.
    pub(crate) fn shows(&mut self, provider: Option<&ProviderId>, owner: Option<&Owner>) -> bool {
        let Self { call, space, answers } = self;
        *answers.entry((provider.cloned(), owner.cloned())).or_insert_with(|| {
            let facts = Facts { provider, owner, purpose: None };
            call.vault.identity.authorize(&call.caller, call.action, space, facts).is_ok()
        })
    }
}
