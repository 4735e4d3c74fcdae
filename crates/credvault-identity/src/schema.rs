//! The Cedar schema, generated from the table of actions, and the facts that a question about each action holds. The
//! schema is what policies may name.

use std::fmt::Write as _;

use credvault_domain::{Action, ActionKind, ActionTarget};

/// Whether the question about an action holds a fact about the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// Always: a policy may rely on it, and a question without it is a fault of the vault, so it is denied.
    Always,
    /// If it is known: a policy must check with `has`.
    Maybe,
    /// Never: a policy that names it does not fit the schema.
    Never,
}

/// The facts about the object that a question holds. Schema and questions are both built from this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tells {
    pub(crate) provider: Told,
    /// The kind of the owner and, if it is a user, the user's id.
    pub(crate) owner: Told,
    pub(crate) purpose: Told,
}

/// The facts that a question about `action` holds.
pub(crate) fn tells(action: Action) -> Tells {
    use Told::{Always, Maybe, Never};
    let (provider, owner, purpose) = match (action, action.target()) {
        (_, ActionTarget::Connection) => (Always, Always, Maybe),
        // The question about a whole list holds what its filters name; the questions about its items hold all facts. The
        // resource distinguishes tenants, and no fact that policy knows distinguishes event endpoints.
        (
            Action::ListConnections
            | Action::ListTenantConnections
            | Action::ChangeTenantConnections
            | Action::ListAuditEvents
            | Action::ProveInclusion
            | Action::ListEventDeliveries
            | Action::ReportUsage
            | Action::GetUsage
            | Action::ExplainPolicy
            | Action::GetAccessReport,
            _,
        ) => (Maybe, Maybe, Never),
        // A service's config may have no connection yet, and requirements have no owner before they are looked up.
        (Action::SetServiceConfig | Action::DeleteServiceConfig, _) => (Maybe, Always, Never),
        (Action::ListServiceConfigs | Action::CheckRequirements, _) => (Maybe, Maybe, Never),
        (Action::ListProviders | Action::ListOAuthApps | Action::GetSuccessRates, _) => (Maybe, Never, Never),
        (Action::ListUsers, _) => (Never, Maybe, Never),
        (Action::DeleteUser, _) => (Never, Always, Never),
        (Action::GetProvider | Action::PutOAuthApp | Action::DeleteOAuthApp, _) => (Always, Never, Never),
        _ => (Never, Never, Never),
    };
    Tells { provider, owner, purpose }
}

/// The kinds of resource that an action can be asked about.
pub(crate) fn resources(action: Action) -> &'static [&'static str] {
    match action.target() {
        // One question about the whole list, then one about each tenant.
        ActionTarget::Platform
            if matches!(
                action,
                Action::ListTenants | Action::ListPlatformDependants | Action::ListErasures
            ) =>
        {
            &["Tenant", "Platform"]
        }
        ActionTarget::Platform => &["Platform"],
        ActionTarget::NamedTenant if !PLATFORM_TOO.contains(&action) => &["Tenant"],
        ActionTarget::NamedTenant
        | ActionTarget::Connection
        | ActionTarget::Namespace
        | ActionTarget::Catalog => &["Tenant", "Platform"],
    }
}

/// Actions of administrators whose resource is the platform's own namespace if the request names no tenant.
const PLATFORM_TOO: &[Action] = &[
    Action::GetKeyStatus,
    Action::RotateTenantKey,
    Action::MoveSecrets,
    Action::GetSecretPlaces,
    Action::ListTenantConnections,
    Action::ChangeTenantConnections,
    Action::CountConnections,
    Action::GetSuccessRates,
    Action::ExplainPolicy,
    Action::GetAccessReport,
    Action::PutOAuthApp,
    Action::ListOAuthApps,
    Action::DeleteOAuthApp,
    Action::PutEventEndpoint,
    Action::ListEventEndpoints,
    Action::DeleteEventEndpoint,
    Action::TestEventEndpoint,
    Action::ListEventDeliveries,
    Action::RetryEventDelivery,
];

/// The groups of an action: its gRPC service, and its effect.
pub(crate) fn groups(action: Action) -> Vec<&'static str> {
    let kind = match action.kind() {
        ActionKind::Fetch => "Fetching",
        ActionKind::Read => "Reading",
        ActionKind::Change => "Changing",
        ActionKind::Permission => return vec!["Permission"],
    };
    vec![action.service(), kind]
}

/// The comments and entities at the top of the schema.
const HEADER: &str = "\
// The entities, actions and facts that credvault's policies may name. A call is permitted if a policy permits it and no
// policy forbids it. Annotate policies with @id(\"name\") for the audit log and @advice(\"what to do\") for the caller.

// The calling service: Service::\"spiffe://trust-domain/path\".
entity Service { trust_domain: String, path: String };
// A tenant, by its id. The administration of a tenant has that tenant as its resource.
entity Tenant;
// The platform's own namespace: Platform::\"platform\".
entity Platform;

// Every context holds the caller's address, the proof of the tenant (none, token, assertion or header) and the verified
// user. The context of a connection also holds its provider, its owner (user, tenant or platform), the owning user, and
// the caller's purpose. Policy decides about a list as a whole first, with the facts that its filters name, and then
// about each of its items, as the list's own action; denied items are left out. An item of ListTenants,
// ListPlatformDependants or ListErasures has that tenant as its resource, and so has each tenant in the sums of CountConnections
// over all tenants; an item of ListUsers has that user as its owner. A record or
// an event has provider and owner if its connection is known. ProveInclusion is asked about the log as a whole, and then about
// the record. SummarizeAuditEvents is decided as a whole only, so a count includes records that
// ListAuditEvents leaves out; so is CountConnections within a tenant. TailAuditEvents and ExportAuditEvents are decided like
// ListAuditEvents, as long as they stream; an export that is to be complete fails at a record that would be left out. ExplainPolicy is asked with what its request names, and
// once more about the connection that it names; so is GetAccessReport. ReportUsage and GetUsage are decided as a whole first, and then about
// each provider and owner of the reported connections, and of the rows that name a connection or provider.
// ListEventEndpoints is decided as a whole, too, because its items have no further facts.
// SetServiceConfig and DeleteServiceConfig are asked about the config's owner first, then about the provider of each
// connection that the config uses. DeleteConnection, PurgeConnection and DeleteUser that revoke grants are asked about
// DisconnectConnection, too. A policy that cannot be evaluated denies.

";

/// The schema in Cedar's own syntax, for `credvault config show --policy-schema` and for editors.
pub fn schema_text() -> String {
    let mut text = HEADER.to_owned();
    let mut all_groups: Vec<_> = Action::ALL.iter().flat_map(|action| groups(*action)).collect();
    all_groups.sort_unstable();
    all_groups.dedup();
    let _ = writeln!(text, "action {};\n", all_groups.join(", "));
    for action in Action::ALL {
        let resources = resources(*action).join(", ");
        let _ = writeln!(
            text,
            "action {} in [{}] appliesTo {{\n  principal: [Service],\n  resource: [{resources}],\n  context: {{",
            action.as_str(),
            groups(*action).join(", ")
        );
        text.push_str("    source: ipaddr, tenant_source: String, user?: String,\n");
        let Tells { provider, owner, purpose } = tells(*action);
        let owner_user = if owner == Told::Never { Told::Never } else { Told::Maybe };
        for (name, told) in
            [("provider", provider), ("owner", owner), ("owner_user", owner_user), ("purpose", purpose)]
        {
            let _ = match told {
                Told::Always => writeln!(text, "    {name}: String,"),
                Told::Maybe => writeln!(text, "    {name}?: String,"),
                Told::Never => Ok(()),
            };
        }
        text.push_str("  },\n};\n");
    }
    text
}
