//! Which items of a list the caller is shown: policy is asked about each, with all that is known of it.

use std::collections::HashMap;

use credvault_domain::{Owner, ProviderId, TenantId, TenantScope, UserId};
use credvault_identity::Facts;
use credvault_store::AuditRecord;

use super::Call;

impl Call {
    /// Asks policy about the items of a list of this namespace, which the caller was permitted as a whole.
    pub(crate) fn shown<'a>(&'a self, scope: &'a TenantScope) -> Shown<'a> {
        Shown { call: self, namespace: scope.tenant(), answers: HashMap::new() }
    }

    /// Whether the caller, who was permitted the list, may be shown this tenant.
    pub(crate) fn shows_tenant(&self, tenant: &TenantId) -> bool {
        self.context.identity.authorize(&self.caller, self.action, tenant, Facts::default()).is_ok()
    }

    /// Whether the caller, who was permitted the list, may be shown this provider of the catalog.
    pub(crate) fn shows_provider(&self, provider: &ProviderId) -> bool {
        let facts = Facts::of_provider(provider);
        self.context.identity.authorize_catalog(&self.caller, self.action, facts).is_ok()
    }
}

/// What policy has answered about items of one list. It is asked once about items that it cannot tell apart: a page has
/// hundreds.
pub(crate) struct Shown<'a> {
    call: &'a Call,
    namespace: &'a TenantId,
    answers: HashMap<(Option<ProviderId>, Option<Owner>), bool>,
}

impl Shown<'_> {
    /// Whether a record of the audit log may be shown.
    pub(crate) fn shows_record(&mut self, record: &AuditRecord) -> bool {
        let (provider, owner) = of_record(record);
        self.shows(provider.as_ref(), owner.as_ref())
    }

    /// Whether an item with this provider and owner may be shown.
    pub(crate) fn shows(&mut self, provider: Option<&ProviderId>, owner: Option<&Owner>) -> bool {
        let Self { call, namespace, answers } = self;
        *answers.entry((provider.cloned(), owner.cloned())).or_insert_with(|| {
            let facts = Facts { provider, owner, purpose: None };
            call.context.identity.authorize(&call.caller, call.action, namespace, facts).is_ok()
        })
    }
}

/// What policy is asked about a record with: its provider, and the user whose connection it concerns.
pub(crate) fn of_record(record: &AuditRecord) -> (Option<ProviderId>, Option<Owner>) {
    let provider = record.provider.clone().map(ProviderId::from_stored);
    let owner = record.owner_user.clone().map(|user| Owner::User(UserId::from_stored(user)));
    (provider, owner)
}
