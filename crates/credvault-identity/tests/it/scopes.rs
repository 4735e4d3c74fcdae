//! Scopes: whose rows a caller reaches, with and without a tenant, a user and the right to administer.

use credvault_domain::{Action, Reach, TenantId, UserId};
use credvault_identity::{Error, Facts};

use crate::policies::{caller, identity};

#[test]
fn a_scope_has_three_values_and_absence_is_never_the_widest() {
    let others = r#"permit (principal == Service::"spiffe://one.test/app", action == Action::"AccessOtherUsers", resource == Tenant::"acme");"#;
    let own = Reach::User(UserId::parse("u1").unwrap());
    for (policies, tenant, user, reach) in [
        ("", "acme", Some("u1"), own.clone()),
        ("", "acme", None, Reach::Shared),
        (others, "acme", Some("u1"), Reach::AllUsers),
        (others, "acme", None, Reach::AllUsers),
        (others, "other", Some("u1"), own),
        (others, "other", None, Reach::Shared),
    ] {
        let scope = identity(policies).scope(&caller("/app", Some(tenant), user)).unwrap();
        assert_eq!(*scope.reach(), reach, "{policies} {tenant} {user:?}");
    }
}

#[test]
fn without_a_tenant_only_the_platforms_own_space_is_left_and_only_if_permitted() {
    let who = caller("/admin", None, None);
    assert!(matches!(identity("").scope(&who), Err(Error::TenantMissing)));
    let permitted = identity(
        r#"permit (principal, action == Action::"ActForPlatform", resource == Platform::"platform");"#,
    );
    assert!(permitted.scope(&who).unwrap().tenant().is_platform());
}

#[test]
fn administration_is_permitted_by_the_tenant_it_names() {
    let identity =
        identity(r#"permit (principal, action in Action::"AdminService", resource == Tenant::"acme");"#);
    let who = caller("/admin", None, None);
    let administer = |tenant: &str| {
        identity.administer(
            &who,
            Action::SuspendTenant,
            Some(TenantId::parse(tenant).unwrap()),
            Facts::default(),
        )
    };
    assert_eq!(administer("acme").unwrap().0.tenant().as_str(), "acme");
    assert!(administer("other").is_err());
    assert!(identity.administer(&who, Action::ListTenants, None, Facts::default()).is_err());
}
