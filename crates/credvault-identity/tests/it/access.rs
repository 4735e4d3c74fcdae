//! Which services policies permit a call, with what it needs: what is found out is what a call meets.

use credvault_domain::{Action, Owner, ProviderId, ServiceId, TenantId, TenantSource, UserId};
use credvault_identity::{Access, AccessNeeds, Policies, PolicyFile, PolicyQuestion, PurposeRule};

fn parse(text: &str) -> Policies {
    Policies::parse(&[PolicyFile { name: "test.cedar".into(), text: text.into() }]).unwrap()
}

/// A fetch of the tenant's own connection at Shopify by a service of this name.
fn fetch(service: &str) -> PolicyQuestion {
    PolicyQuestion {
        service: ServiceId::parse(&format!("spiffe://one.test/{service}")).unwrap(),
        action: Action::FetchCredential,
        tenant: TenantId::parse("acme").ok(),
        tenant_source: None,
        user: None,
        source_address: "127.0.0.1".parse().unwrap(),
        provider: ProviderId::parse("shopify").ok(),
        owner: Some(Owner::Tenant),
        purpose: None,
    }
}

fn access(policies: &Policies, question: &PolicyQuestion) -> Access {
    policies.access(question).unwrap()
}

fn needs(policies: &Policies, question: &PolicyQuestion) -> AccessNeeds {
    access(policies, question).needs.expect("permitted")
}

fn ids(access: &Access) -> Vec<&str> {
    access.policies.iter().map(|policy| policy.id.as_str()).collect()
}

#[test]
fn what_a_policy_asks_of_a_call_is_what_the_call_needs() {
    let policies = parse(
        r#"
        @id("free") permit (principal == Service::"spiffe://one.test/free", action == Action::"FetchCredential", resource);
        @id("delegates") permit (principal, action == Action::"AssertTenant", resource)
            when { principal == Service::"spiffe://one.test/free" };
        @id("any-purpose") permit (principal == Service::"spiffe://one.test/any", action, resource)
            when { context has purpose };
        @id("sync") permit (principal == Service::"spiffe://one.test/sync", action in Action::"Fetching", resource)
            when { context has purpose && (context.purpose == "order sync" || ["audit", "books"].contains(context.purpose)
                || context.purpose like "report *") };
        @id("network") permit (principal == Service::"spiffe://one.test/network", action in Action::"Fetching", resource)
            when { context.source.isInRange(ip("10.0.0.0/8")) || context.source == ip("192.168.1.9") };
        @id("here") permit (principal == Service::"spiffe://one.test/here", action in Action::"Fetching", resource)
            when { context.source.isLoopback() };
        @id("users") permit (principal == Service::"spiffe://one.test/users", action in Action::"Fetching", resource)
            when { context has user };
        @id("tokens") permit (principal == Service::"spiffe://one.test/tokens", action in Action::"Fetching", resource)
            when { context.tenant_source == "assertion" };
        "#,
    );
    let free = needs(&policies, &fetch("free"));
    let every = vec![TenantSource::Token, TenantSource::Assertion, TenantSource::Header];
    let nothing = AccessNeeds {
        tenant_sources: every.clone(),
        purpose: PurposeRule::NotNeeded,
        user_required: false,
        other_users: false,
        networks: Vec::new(),
    };
    assert_eq!(free, nothing);
    let vouched = AccessNeeds { tenant_sources: every[..2].to_vec(), ..nothing };
    // `any` may do everything for a purpose alone, and AssertTenant is asked without one.
    let any = needs(&policies, &fetch("any"));
    assert_eq!(any, AccessNeeds { purpose: PurposeRule::Any, ..vouched.clone() });
    let sync = needs(&policies, &fetch("sync"));
    let PurposeRule::OneOf(purposes) = &sync.purpose else { panic!("{sync:?}") };
    let purposes: Vec<_> = purposes.iter().map(|purpose| purpose.as_str()).collect();
    assert_eq!(purposes, ["audit", "books", "order sync"]);
    let network = needs(&policies, &fetch("network"));
    assert_eq!(network.networks, ["10.0.0.0/8", "192.168.1.9"]);
    assert_eq!(needs(&policies, &fetch("here")).networks, ["127.0.0.0/8"]);
    assert_eq!(needs(&policies, &fetch("users")), AccessNeeds { user_required: true, ..vouched.clone() });
    assert_eq!(needs(&policies, &fetch("tokens")).tenant_sources, [TenantSource::Assertion]);
    let other = access(&policies, &fetch("other"));
    assert_eq!((other.needs.is_none(), ids(&other)), (true, vec![]));
}

#[test]
fn a_pattern_counts_as_its_text() {
    let policies = parse(
        r#"permit (principal, action, resource) when { context has purpose && context.purpose like "report*" };"#,
    );
    let found = needs(&policies, &fetch("reports"));
    let PurposeRule::OneOf(purposes) = &found.purpose else { panic!("{found:?}") };
    assert_eq!(purposes.iter().map(|purpose| purpose.as_str()).collect::<Vec<_>>(), ["report"]);
}

#[test]
fn a_users_connection_is_reached_for_its_user_and_for_others_with_a_permission() {
    let policies = parse(
        r#"
        @id("fetches") permit (principal, action == Action::"FetchCredential", resource);
        @id("all") permit (principal == Service::"spiffe://one.test/all", action == Action::"AccessOtherUsers", resource);
        @id("anonymous") forbid (principal == Service::"spiffe://one.test/anonymous", action, resource)
            when { context has user };
        "#,
    );
    let of_user =
        |service| PolicyQuestion { owner: Some(Owner::User(UserId::parse("u1").unwrap())), ..fetch(service) };
    let own = needs(&policies, &of_user("portal"));
    assert!(!own.other_users && !own.user_required, "{own:?}");
    assert!(needs(&policies, &of_user("all")).other_users);
    // It may not call for a user, and without one the user's connection is out of its reach.
    let anonymous = access(&policies, &of_user("anonymous"));
    assert_eq!((anonymous.needs.is_none(), ids(&anonymous)), (true, vec!["anonymous"]));
}

#[test]
fn the_platforms_connections_take_the_permission_to_act_for_it() {
    let policies = parse(
        r#"
        @id("fetches") permit (principal, action == Action::"FetchCredential", resource);
        @id("acts") permit (principal == Service::"spiffe://one.test/operator", action == Action::"ActForPlatform", resource);
        "#,
    );
    let shared = |service| PolicyQuestion { tenant: None, owner: Some(Owner::Platform), ..fetch(service) };
    let operator = needs(&policies, &shared("operator"));
    assert!(operator.tenant_sources.is_empty() && operator.networks.is_empty(), "{operator:?}");
    assert!(access(&policies, &shared("app")).needs.is_none());
}

#[test]
fn what_denies_is_named() {
    let policies = parse(
        r#"
        @id("fetches") permit (principal, action == Action::"FetchCredential", resource);
        @id("frozen") forbid (principal, action, resource == Tenant::"frozen");
        @id("odd") forbid (principal == Service::"spiffe://one.test/odd", action == Action::"FetchCredential", resource)
            when { 9223372036854775807 + 1 == 0 };
        "#,
    );
    let frozen = PolicyQuestion { tenant: TenantId::parse("frozen").ok(), ..fetch("app") };
    let denied = access(&policies, &frozen);
    assert_eq!((denied.needs.is_none(), ids(&denied)), (true, vec!["frozen"]));
    let odd = access(&policies, &fetch("odd"));
    assert!(odd.needs.is_none() && odd.policies[0].unevaluated, "{odd:?}");
}

#[test]
fn services_are_found_in_heads_and_conditions_and_those_by_attributes_are_said_to_be_more() {
    let policies = parse(
        r#"
        @id("head") permit (principal == Service::"spiffe://one.test/head", action == Action::"FetchCredential", resource)
            when { principal.trust_domain == "one.test" };
        @id("listed") permit (principal, action in Action::"Fetching", resource)
            when { [Service::"spiffe://one.test/a", Service::"spiffe://one.test/b"].contains(principal) };
        @id("not") permit (principal, action == Action::"GetConnection", resource)
            unless { principal == Service::"spiffe://one.test/c" };
        @id("path") permit (principal, action == Action::"FetchCredential", resource)
            when { principal.path like "/etl/*" };
        @id("other-action") permit (principal, action == Action::"GetTenant", resource)
            when { principal.path like "/etl/*" };
        @id("forbid") forbid (principal, action == Action::"FetchCredential", resource)
            when { principal.path like "/old/*" };
        "#,
    );
    let named: Vec<_> = policies.named_services().iter().map(|service| service.path().to_owned()).collect();
    assert_eq!(named, ["/a", "/b", "/c", "/head"]);
    let open = policies.permitting_by_attributes(Action::FetchCredential);
    assert_eq!(open.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>(), ["path"]);
    assert!(access(&policies, &fetch("etl/orders")).needs.is_some());
    assert!(access(&policies, &fetch("orders")).needs.is_none());
}
