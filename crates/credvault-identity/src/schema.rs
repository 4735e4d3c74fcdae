//! The Cedar schema, generated from the table of actions: what policies may speak of.

use std::fmt::Write as _;

use credvault_domain::{Action, ActionKind, ActionTarget};

/// The groups that an action is in: its gRPC service, and what it does.
pub(crate) fn groups(action: Action) -> Vec<&'static str> {
    let kind = match action.kind() {
        ActionKind::Fetch => "Fetching",
        ActionKind::Read => "Reading",
        ActionKind::Change => "Changing",
        ActionKind::Permission => return vec!["Permission"],
    };
    vec![action.service(), kind]
}

/// The schema in Cedar's own syntax, for `credvault config show --policy-schema` and for editors.
pub fn schema_text() -> String {
    let mut text = String::from(
        "// What credvault's policies may speak of. A call is permitted if a policy permits it and none forbids it.\n\
         // Annotate policies with @id(\"name\") for the audit log and @advice(\"what to do\") for who is refused.\n\n\
         // The calling service: Service::\"spiffe://trust-domain/path\".\n\
         entity Service { trust_domain: String, path: String };\n\
         // A tenant, by its id. Administration of a tenant has that tenant as its resource.\n\
         entity Tenant;\n\
         // The platform's own space: Platform::\"platform\".\n\
         entity Platform;\n\n\
         // In every context: the caller's address; what vouched for the tenant (none, token, assertion or header);\n\
         // the verified user. Of a connection: its provider; its owner (user, tenant or platform) and which user;\n\
         // what the caller wants it for.\n\n",
    );
    let mut all_groups: Vec<_> = Action::ALL.iter().flat_map(|action| groups(*action)).collect();
    all_groups.sort_unstable();
    all_groups.dedup();
    let _ = writeln!(text, "action {};\n", all_groups.join(", "));
    for action in Action::ALL {
        let resources = match action.target() {
            ActionTarget::NamedTenant if *action != Action::GetKeyStatus => "Tenant",
            ActionTarget::Platform => "Platform",
            _ => "Tenant, Platform",
        };
        let _ = writeln!(
            text,
            "action {} in [{}] appliesTo {{\n  principal: [Service],\n  resource: [{resources}],\n  context: {{",
            action.as_str(),
            groups(*action).join(", ")
        );
        text.push_str("    source: ipaddr, tenant_source: String, user?: String,\n");
        if action.target() == ActionTarget::Connection {
            text.push_str("    provider: String, owner: String, owner_user?: String, purpose?: String,\n");
        } else if matches!(action, Action::ListConnections | Action::GetProvider) {
            text.push_str("    provider?: String, owner?: String, owner_user?: String,\n");
        }
        text.push_str("  },\n};\n");
    }
    text
}
