//! Policies: which are accepted, and which calls they permit.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use credvault_domain::{
    Action, ActionTarget, Owner, ProviderId, Purpose, ServiceId, TenantId, TenantSource, TrustDomain, UserId,
};
use credvault_identity::{
    Caller, Error, Explanation, Facts, Identity, Issuers, NeverAsked, Policies, PolicyError, PolicyFile,
    PolicyQuestion, Trust, VerifiedTenant, schema_text,
};
use credvault_testkit::Authority;
use rustls::pki_types::CertificateDer;

fn parse(text: &str) -> Result<Policies, PolicyError> {
    Policies::parse(&[PolicyFile { name: "test.cedar".into(), text: text.into() }])
}

pub(crate) fn identity(policies: &str) -> Identity {
    let authority = CertificateDer::from(Authority::new("a").der().to_vec());
    let bundle = BTreeMap::from([(TrustDomain::parse("one.test").unwrap(), vec![authority])]);
    Identity::new(Arc::new(Trust::new(&bundle).unwrap()), Issuers::default(), parse(policies).unwrap())
}

pub(crate) fn caller(path: &str, tenant: Option<&str>, user: Option<&str>) -> Caller {
    let tenant = tenant.map(|tenant| VerifiedTenant {
        tenant: TenantId::parse(tenant).unwrap(),
        user: user.map(|user| UserId::parse(user).unwrap()),
        source: TenantSource::Header,
    });
    let service = ServiceId::parse(&format!("spiffe://one.test{path}")).unwrap();
    Caller { service, tenant, source_address: "10.1.2.3".parse().unwrap() }
}

struct Asked<'a> {
    caller: Caller,
    provider: &'a str,
    owner: Owner,
    purpose: Option<&'a str>,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self {
            caller: caller("/sync", Some("acme"), None),
            provider: "shopify",
            owner: Owner::Tenant,
            purpose: None,
        }
    }
}

fn fetch(identity: &Identity, asked: &Asked<'_>) -> Result<Vec<String>, Error> {
    let scope = identity.scope(&asked.caller)?;
    let provider = ProviderId::parse(asked.provider).unwrap();
    let purpose = asked.purpose.map(|purpose| Purpose::parse(purpose).unwrap());
    let facts = Facts { provider: Some(&provider), owner: Some(&asked.owner), purpose: purpose.as_ref() };
    identity
        .authorize(&asked.caller, Action::FetchCredential, scope.tenant(), facts)
        .map(|permit| permit.policies().to_vec())
}

#[test]
fn the_schema_is_generated_for_every_action_and_cedar_accepts_it() {
    let text = schema_text();
    for action in Action::ALL {
        assert!(text.contains(&format!("action {} in [", action.as_str())), "{action:?}");
    }
    let (_, warnings) = cedar_policy::Schema::from_cedarschema_str(&text).unwrap();
    assert_eq!(warnings.count(), 0);
}

/// A question that lacks what policies may rely on is denied, whatever they say; and so each action's question is held
/// against the schema at every start.
#[test]
fn a_question_without_its_facts_is_denied() {
    let identity =
        identity("permit (principal, action, resource) when { context.tenant_source == \"header\" };");
    let who = caller("/app", Some("acme"), None);
    let tenant = TenantId::parse("acme").unwrap();
    let provider = ProviderId::parse("shopify").unwrap();
    let owner = Owner::Tenant;
    let full = Facts { provider: Some(&provider), owner: Some(&owner), purpose: None };
    for action in Action::ALL.iter().filter(|action| action.target() == ActionTarget::Connection) {
        let asked = |facts| identity.authorize(&who, *action, &tenant, facts);
        assert!(asked(full).is_ok(), "{action:?}");
        for facts in [Facts::default(), Facts { owner: None, ..full }, Facts { provider: None, ..full }] {
            assert!(matches!(asked(facts), Err(Error::Denied(_))), "{action:?}");
        }
    }
}

/// Policies of every form, alone and in pairs: what the first look at the gate refuses is never permitted later, and a
/// policy that cannot be evaluated never lets anything through.
#[test]
fn the_first_look_refuses_nothing_that_would_be_permitted_and_what_errs_denies() {
    const OVERFLOW: &str = "when { 9223372036854775807 + 1 == 0 }";
    let principals = [
        "principal",
        "principal == Service::\"spiffe://one.test/sync\"",
        "principal == Service::\"spiffe://one.test/b\"",
    ];
    let actions = [
        "action == Action::\"FetchCredential\"",
        "action in Action::\"Fetching\"",
        "action in [Action::\"Reading\"]",
    ];
    let mut texts = Vec::new();
    for effect in ["permit", "forbid"] {
        for principal in principals {
            for action in actions {
                for resource in ["resource", "resource == Tenant::\"acme\""] {
                    for condition in ["", "when { context.tenant_source == \"header\" }", OVERFLOW] {
                        texts.push(format!("{effect} ({principal}, {action}, {resource}) {condition};"));
                    }
                }
            }
        }
    }
    let provider = ProviderId::parse("shopify").unwrap();
    let owner = Owner::Tenant;
    let facts = Facts { provider: Some(&provider), owner: Some(&owner), purpose: None };
    let asks = [Action::FetchCredential, Action::GetConnection];
    let identity = identity("");
    let mut permitted = 0;
    for (index, text) in texts.iter().enumerate() {
        // With a permit for everything, and with another of the list.
        let other = texts[(index * 7 + 3) % texts.len()].as_str();
        for beside in ["permit (principal, action, resource);", other] {
            identity.replace_policies(parse(&format!("{text}\n{beside}")).unwrap());
            for (action, tenant) in asks.iter().flat_map(|action| [(*action, "acme"), (*action, "other")]) {
                let who = caller("/sync", Some(tenant), None);
                let tenant = TenantId::parse(tenant).unwrap();
                let answer = identity.authorize(&who, action, &tenant, facts);
                let first_look = identity.admit(&who, action);
                assert!(answer.is_err() || first_look.is_ok(), "{text} {beside} {action:?}");
                permitted += usize::from(answer.is_ok());
            }
        }
    }
    assert!(permitted > 100, "{permitted}");
    // A forbid that errs is not passed over.
    let text = format!(
        "permit (principal, action, resource); @id(\"odd\") forbid (principal, action, resource) {OVERFLOW};"
    );
    identity.replace_policies(parse(&text).unwrap());
    let Err(Error::Denied(denial)) = fetch(&identity, &Asked::default()) else { panic!("denied") };
    assert!(denial.to_string().contains("cannot be evaluated"), "{denial}");
    assert_eq!(denial.policies, vec!["odd".to_owned()]);
    assert!(denial.unevaluated);
}

#[test]
fn nothing_is_permitted_by_default() {
    let identity = identity("");
    assert!(matches!(fetch(&identity, &Asked::default()), Err(Error::Denied(_))));
    let refused = identity.admit(&caller("/sync", Some("acme"), None), Action::FetchCredential).unwrap_err();
    assert!(
        refused.to_string().contains("no policy permits spiffe://one.test/sync FetchCredential"),
        "{refused}"
    );
}

#[test]
fn a_permit_holds_for_what_it_names_and_for_nothing_else() {
    let identity = identity(
        r#"@id("sync shopify")
        permit (principal == Service::"spiffe://one.test/sync", action == Action::"FetchCredential", resource == Tenant::"acme")
        when { context.provider == "shopify" };"#,
    );
    assert_eq!(fetch(&identity, &Asked::default()).unwrap(), ["sync shopify"]);
    let denied = |asked: Asked<'_>| assert!(matches!(fetch(&identity, &asked), Err(Error::Denied(_))));
    denied(Asked { provider: "xero", ..Asked::default() });
    denied(Asked { caller: caller("/sync", Some("other"), None), ..Asked::default() });
    denied(Asked { caller: caller("/sync2", Some("acme"), None), ..Asked::default() });
    let other = identity.admit(&caller("/sync", Some("acme"), None), Action::PutCredential);
    assert!(other.is_err(), "another action is refused before anything is looked up");
}

#[test]
fn a_forbid_wins_and_says_what_to_do() {
    let identity = identity(
        r#"permit (principal, action in Action::"Fetching", resource);
        @id("purpose needed") @advice("send a purpose")
        forbid (principal, action == Action::"FetchCredential", resource) unless { context has purpose };"#,
    );
    let Err(Error::Denied(denial)) = fetch(&identity, &Asked::default()) else { panic!("denied") };
    assert_eq!(denial.policies.as_slice(), ["purpose needed".to_owned()].as_slice());
    assert_eq!(denial.advice.as_deref(), Some("send a purpose"));
    assert!(denial.to_string().ends_with("here: send a purpose"), "{denial}");
    assert!(fetch(&identity, &Asked { purpose: Some("nightly sync"), ..Asked::default() }).is_ok());
}

#[test]
fn addresses_paths_owners_and_users_can_be_conditions() {
    let holds = |condition: &str, asked: &Asked<'_>| {
        let text = format!(
            "permit (principal, action == Action::\"FetchCredential\", resource) when {{ {condition} }};"
        );
        fetch(&identity(&text), asked).is_ok()
    };
    let asked = Asked {
        owner: Owner::User(UserId::parse("u1").unwrap()),
        caller: caller("/ns/etl/sync", Some("acme"), Some("u1")),
        ..Asked::default()
    };
    for condition in [
        r#"context.source.isInRange(ip("10.0.0.0/8"))"#,
        r#"principal.path like "/ns/etl/*" && principal.trust_domain == "one.test""#,
        r#"context.owner == "user" && context has owner_user && context has user && context.owner_user == context.user"#,
        r#"context.tenant_source == "header""#,
        r#"resource == Tenant::"acme""#,
    ] {
        assert!(holds(condition, &asked), "{condition}");
        assert!(!holds(&format!("!({condition})"), &asked), "not {condition}");
    }
    let mut mapped = asked;
    mapped.caller.source_address = "::ffff:10.1.2.3".parse::<IpAddr>().unwrap();
    assert!(
        holds(r#"context.source.isInRange(ip("10.0.0.0/8"))"#, &mapped),
        "IPv4 seen through an IPv6 socket"
    );
}

#[test]
fn groups_of_actions_are_services_and_kinds() {
    let identity = identity(
        r#"permit (principal, action in [Action::"ConnectionService", Action::"Reading"], resource);"#,
    );
    let who = caller("/sync", Some("acme"), None);
    for (action, permitted) in [
        (Action::CreateConnection, true),
        (Action::ListAuditEvents, true),
        (Action::ListCredentialVersions, true),
        (Action::FetchCredential, false),
        (Action::PutCredential, false),
        (Action::AccessOtherUsers, false),
        (Action::CreateTenant, false),
    ] {
        assert_eq!(identity.admit(&who, action).is_ok(), permitted, "{action:?}");
    }
}

#[test]
fn policies_that_are_wrong_are_refused_with_their_place() {
    let problem = |text: &str| parse(text).unwrap_err().to_string();
    assert!(
        problem("permit (principal, action, resource);\n\npermit (principal;").contains("test.cedar: line 3"),
        "{}",
        problem("\n\npermit (x")
    );
    assert!(
        problem(r#"permit (principal, action == Action::"FetchCredentail", resource);"#)
            .contains("FetchCredentail")
    );
    let unguarded = r#"permit (principal, action == Action::"FetchCredential", resource) when { context.purpose == "x" };"#;
    assert!(problem(unguarded).contains("purpose"), "an optional attribute needs `has`");
    assert!(problem(r#"permit (principal, action == Action::"FetchCredential", resource) when { context.provider == 5 };"#).contains("do not fit"));
    assert!(matches!(
        parse(
            r#"@id("a") permit (principal, action, resource); @id("a") forbid (principal, action, resource);"#
        ),
        Err(PolicyError::DuplicateId { .. })
    ));
    assert!(matches!(
        parse("permit (principal == ?principal, action, resource);"),
        Err(PolicyError::Template(_))
    ));
}

#[test]
fn replaced_policies_hold_for_the_next_call() {
    let identity = identity("permit (principal, action, resource);");
    assert!(fetch(&identity, &Asked::default()).is_ok());
    identity.replace_policies(parse("").unwrap());
    assert!(fetch(&identity, &Asked::default()).is_err());
}

/// A question of the service `/sync` about a connection that the tenant itself owns.
fn question(action: Action, tenant: &str, provider: Option<&str>) -> PolicyQuestion {
    PolicyQuestion {
        service: ServiceId::parse("spiffe://one.test/sync").unwrap(),
        action,
        tenant: Some(tenant)
            .filter(|tenant| !tenant.is_empty())
            .map(|tenant| TenantId::parse(tenant).unwrap()),
        tenant_source: Some(TenantSource::Token),
        user: None,
        source_address: "10.1.2.3".parse().unwrap(),
        provider: provider.map(|provider| ProviderId::parse(provider).unwrap()),
        owner: Some(Owner::Tenant),
        purpose: None,
    }
}

/// The ids of the policies that decide about the action itself, with their files.
fn decide(explanation: &Explanation) -> Vec<(&str, &str)> {
    let last = explanation.decisions.last().unwrap();
    last.policies.iter().map(|policy| (policy.id.as_str(), policy.file.as_str())).collect()
}

/// What is explained is what a call would get, with the policies that decide. A question that no call asks is no denial.
#[test]
fn an_explanation_names_what_decides() {
    let policies = parse(
        "@id(\"shops\") permit (principal, action == Action::\"FetchCredential\", resource)\
         when { context.provider == \"shopify\" };\
         @id(\"frozen\") @advice(\"ask security\") @ticket(\"SEC-1\")\
         forbid (principal, action in Action::\"Fetching\", resource == Tenant::\"frozen\");\
         @id(\"tenants\") permit (principal, action == Action::\"CreateTenant\", resource);",
    )
    .unwrap();
    let ask = |tenant: &str, provider, action| policies.explain(&question(action, tenant, provider)).unwrap();
    let permitted = ask("acme", Some("shopify"), Action::FetchCredential);
    assert_eq!((permitted.denial(), decide(&permitted)), (None, vec![("shops", "test.cedar")]));
    assert_eq!(permitted.not_given, ["user_id", "purpose"]);
    assert_eq!(decide(&ask("acme", None, Action::CreateTenant)), [("tenants", "test.cedar")]);
    let other = ask("acme", Some("xero"), Action::FetchCredential);
    assert!(other.denial().is_some() && decide(&other).is_empty());
    let frozen = ask("frozen", Some("shopify"), Action::FetchCredential);
    let denial = frozen.denial().unwrap();
    assert_eq!(
        (denial.policies.concat().as_str(), denial.advice.as_deref()),
        ("frozen", Some("ask security"))
    );
    let policy = &frozen.decisions[0].policies[0];
    assert!(policy.forbids && !policy.unevaluated && policy.annotations["ticket"] == "SEC-1", "{policy:?}");
    assert!(ask("acme", None, Action::GetTenant).denial().unwrap().policies.is_empty());
    for (tenant, provider, action, fact) in [
        ("acme", None, Action::FetchCredential, "provider"),
        ("", Some("shopify"), Action::CreateTenant, "tenant_id"),
        ("acme", Some("shopify"), Action::PutTool, "tenant_id"),
    ] {
        let never = policies.explain(&question(action, tenant, provider)).unwrap_err();
        assert_eq!(never.fact, fact, "{never}");
    }
}

/// Beside its own action, a call needs what lets it name the tenant, reach others, or act for the platform.
#[test]
fn an_explanation_asks_about_the_permissions_that_a_call_needs_besides() {
    let policies = parse(
        "@id(\"delegate\") permit (principal, action == Action::\"AssertTenant\", resource);\
         @id(\"all\") permit (principal, action in Action::\"VaultService\", resource);",
    )
    .unwrap();
    let asked = |change: fn(&mut PolicyQuestion)| {
        let mut question = question(Action::FetchCredential, "acme", Some("shopify"));
        change(&mut question);
        policies.explain(&question)
    };
    let actions = |explanation: Result<Explanation, NeverAsked>| -> Vec<(&'static str, bool)> {
        let decisions = explanation.unwrap().decisions;
        decisions.iter().map(|decision| (decision.action.as_str(), decision.denial.is_none())).collect()
    };
    let others = |question: &mut PolicyQuestion| {
        question.owner = Some(Owner::User(UserId::parse("u1").unwrap()));
        question.user = Some(UserId::parse("u2").unwrap());
    };
    assert_eq!(actions(asked(|_| {})), [("FetchCredential", true)]);
    assert_eq!(
        actions(asked(|question| question.tenant_source = None)),
        [("AssertTenant", true), ("FetchCredential", true)]
    );
    assert_eq!(actions(asked(others)), [("AccessOtherUsers", false), ("FetchCredential", true)]);
    assert_eq!(
        actions(asked(|question| question.tenant = None)),
        [("ActForPlatform", false), ("FetchCredential", true)]
    );
    let alone = asked(|question| {
        question.tenant_source = Some(TenantSource::None);
        question.user = Some(UserId::parse("u1").unwrap());
    });
    assert_eq!(alone.unwrap_err().fact, "user_id");
}

/// A policy that cannot be evaluated is named as the one that denies.
#[test]
fn an_explanation_names_a_policy_that_cannot_be_evaluated() {
    let policies = parse(
        "permit (principal, action, resource);\
         @id(\"odd\") forbid (principal, action, resource) when { 9223372036854775807 + 1 == 0 };",
    )
    .unwrap();
    let explained = policies.explain(&question(Action::FetchCredential, "acme", Some("shopify"))).unwrap();
    let [policy] = &explained.decisions[0].policies[..] else { panic!("{explained:?}") };
    assert!(policy.id == "odd" && policy.unevaluated && policy.forbids);
    assert!(explained.denial().unwrap().to_string().contains("cannot be evaluated"));
}
