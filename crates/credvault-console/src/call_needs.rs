//! What a call needs that the policies permit, in words, for the console and for the command line.

use credvault_proto::v1;

/// What a permitted call needs, such as `a purpose, the user u1`. Empty if it needs nothing, or no call is permitted.
pub fn call_needs(action: &v1::ActionAccess, owner: Option<&v1::Owner>) -> String {
    if !action.permitted {
        return String::new();
    }
    let mut needs = Vec::new();
    match action.purpose_rule() {
        v1::PurposeRule::Unspecified | v1::PurposeRule::NotNeeded => {}
        v1::PurposeRule::Any => needs.push("a purpose".to_owned()),
        v1::PurposeRule::OneOf => needs.push(format!("the purpose {}", action.purposes.join(" or "))),
    }
    let of_user = owner.filter(|owner| owner.kind() == v1::OwnerKind::User && !action.other_users);
    match of_user {
        // Of several users, none is named.
        Some(owner) if owner.user_id.is_empty() => needs.push("the owning user".to_owned()),
        Some(owner) => needs.push(format!("the user {}", owner.user_id)),
        None if action.user_required => needs.push("a user".to_owned()),
        None => {}
    }
    if !action.tenant_sources.is_empty() {
        needs.push(format!("the tenant by {}", action.tenant_sources.join(" or ")));
    }
    if !action.source_networks.is_empty() {
        needs.push(format!("an address in {}", action.source_networks.join(" or ")));
    }
    needs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(permitted: bool) -> v1::ActionAccess {
        v1::ActionAccess {
            action: "FetchCredential".to_owned(),
            permitted,
            tenant_sources: vec!["token".to_owned(), "header".to_owned()],
            purpose_rule: v1::PurposeRule::Any.into(),
            ..Default::default()
        }
    }

    fn owner(kind: v1::OwnerKind, user: &str) -> v1::Owner {
        v1::Owner { kind: kind.into(), user_id: user.to_owned() }
    }

    #[test]
    fn what_a_call_needs_is_said_and_nothing_where_none_is_permitted() {
        let (tenant, user) = (owner(v1::OwnerKind::Tenant, ""), owner(v1::OwnerKind::User, "u1"));
        assert_eq!(call_needs(&fetch(true), Some(&tenant)), "a purpose, the tenant by token or header");
        assert_eq!(
            call_needs(&fetch(true), Some(&user)),
            "a purpose, the user u1, the tenant by token or header"
        );
        let others = v1::ActionAccess { other_users: true, ..fetch(true) };
        assert_eq!(call_needs(&others, Some(&user)), call_needs(&fetch(true), Some(&tenant)));
        assert_eq!(call_needs(&fetch(false), Some(&user)), "");
    }
}
