//! Policies: what they may say, and what follows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use credvault_domain::{
    Action, Owner, ProviderId, Purpose, ServiceId, TenantId, TenantSource, TrustDomain, UserId,
};
use credvault_identity::{
    Caller, Error, Facts, Identity, Issuers, Policies, PolicyError, PolicyFile, Trust, VerifiedTenant,
    schema_text,
};
use credvault_testkit::Authority;
use rustls::pki_types::CertificateDer;

fn parse(text: &str) -> Result<Policies, PolicyError> {
    Policies::parse(&[PolicyFile { name: "test.cedar".into(), text: text.into() }])
}

fn identity(policies: &str) -> Identity {
    let authority = CertificateDer::from(Authority::new("a").der().to_vec());
    let bundle = BTreeMap::from([(TrustDomain::parse("one.test").unwrap(), vec![authority])]);
    Identity::new(Arc::new(Trust::new(&bundle).unwrap()), Issuers::default(), parse(policies).unwrap())
}

fn caller(path: &str, tenant: Option<&str>, user: Option<&str>) -> Caller {
    let tenant = tenant.map(|tenant| VerifiedTenant {
        tenant: TenantId::parse(tenant).unwrap(),
        user: user.map(|user| UserId::parse(user).unwrap()),
        source: TenantSource::Header,
    });
    let service = ServiceId::parse(&format!("spiffe://one.test{path}")).unwrap();
    Caller { service, tenant, source: "10.1.2.3".parse().unwrap() }
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
    identity.authorize(&asked.caller, Action::FetchCredential, &scope, facts).map(|permit| permit.policies)
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

/// Requests are built without looking at the schema; here every shape of them is held against it.
#[test]
fn every_request_that_is_built_fits_the_schema() {
    use cedar_policy::{Context, EntityUid, Request, RestrictedExpression, Schema};
    let (schema, _) = Schema::from_cedarschema_str(&schema_text()).unwrap();
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let string = |value: &str| RestrictedExpression::new_string(value.into());
    for action in Action::ALL {
        let connection = action.target() == credvault_domain::ActionTarget::Connection;
        let mut pairs = vec![
            ("source".to_owned(), RestrictedExpression::new_ip("::1")),
            ("tenant_source".to_owned(), string("token")),
            ("user".to_owned(), string("u")),
        ];
        if connection {
            pairs.extend(
                ["provider", "owner", "owner_user", "purpose"].map(|name| (name.to_owned(), string("x"))),
            );
        }
        let context = Context::from_pairs(pairs).unwrap();
        let resource = match action.target() {
            credvault_domain::ActionTarget::Platform => "Platform::\"platform\"",
            _ => "Tenant::\"acme\"",
        };
        let named = uid(&format!("Action::\"{}\"", action.as_str()));
        Request::new(uid("Service::\"s\""), named, uid(resource), context, Some(&schema)).unwrap();
    }
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
    assert_eq!(
        (denial.policies.as_slice(), denial.advice.as_deref()),
        (["purpose needed".to_owned()].as_slice(), Some("send a purpose"))
    );
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
    mapped.caller.source = "::ffff:10.1.2.3".parse::<IpAddr>().unwrap();
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
fn a_user_sees_only_itself_unless_policy_says_otherwise() {
    let who = caller("/app", Some("acme"), Some("u1"));
    assert_eq!(identity("").scope(&who).unwrap().user().unwrap().as_str(), "u1");
    let others = r#"permit (principal == Service::"spiffe://one.test/app", action == Action::"AccessOtherUsers", resource);"#;
    assert_eq!(identity(others).scope(&who).unwrap().user(), None);
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
        identity.administer(&who, Action::SuspendTenant, Some(TenantId::parse(tenant).unwrap()))
    };
    assert_eq!(administer("acme").unwrap().0.tenant().as_str(), "acme");
    assert!(administer("other").is_err());
    assert!(identity.administer(&who, Action::ListTenants, None).is_err());
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
        Err(PolicyError::DuplicateId(_))
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
