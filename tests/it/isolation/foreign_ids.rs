//! An id of another tenant answers like an id that does not exist.

use credvault::settings::{IssuerKindSetting, IssuerSection};
use credvault_domain::Clock as _;
use credvault_proto::{DESCRIPTORS, v1};
use credvault_testkit::{Algorithm, TokenIssuer};
use prost_reflect::DescriptorPool;
use serde_json::json;

use super::{UNKNOWN, WITHOUT_ID, answer, request, snapshot};
use crate::harness::{Client, TestVault, VaultBuilder, by_id, generic, owned_by};
use crate::on_both;

/// A description, a client, and the ids that are not the client's.
type Caller<'a> = (&'a str, Client, &'a [&'a str]);

on_both![a_foreign_id_answers_as_an_unknown_one];

async fn a_foreign_id_answers_as_an_unknown_one(builder: VaultBuilder) {
    let (vault, keys) = with_tokens(builder).await;
    let victim = vault.app("victim").await;
    vault.tenant("intruder").await;
    let own = victim.create(generic("main", "CANARY victim")).await.unwrap().id;
    let users = victim.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap().id;
    let deleted = victim.create(generic("gone", "CANARY gone")).await.unwrap().id;
    let delete = v1::DeleteConnectionRequest { connection_id: deleted.clone(), ..Default::default() };
    victim.connections().delete_connection(delete).await.unwrap();
    let operator = vault.client("operator").await;
    let mut shared = generic("shared", "CANARY platform");
    shared.owner = None;
    let platform = operator.create(shared).await.unwrap().id;

    let now = vault.clock.now().micros() / 1_000_000;
    let claims = json!({ "iss": "https://login.test.local", "aud": "credvault", "sub": "u1", "tenant": "intruder", "iat": now, "exp": now + 300 });
    let app = vault.client("app").await;
    let gateway = vault.client("gateway").await.bearing(&keys.token(&claims));
    let portal = vault.client("portal").await;
    let job = vault.client("gateway").await;
    let assertion = |name: &str, value: serde_json::Value| {
        let mut claims = json!({
            "iss": "https://jobs.test.local", "aud": "credvault", "tenant": "victim", "iat": now, "exp": now + 300,
            "act": { "sub": "spiffe://test.local/gateway" },
        });
        claims[name] = value;
        job.bearing(&keys.token(&claims))
    };
    // Who calls, and the ids that are not theirs.
    let tenants = [own.as_str(), &users, &deleted];
    let of_another_tenant = [own.as_str(), &users, &deleted, &platform];
    let others: &[&str] = &[&users, &platform];
    let all = [own.as_str(), &users, &deleted, &platform, UNKNOWN];
    let callers: [Caller<'_>; 15] = [
        ("service for another tenant", app.acting_for("intruder", None), &of_another_tenant),
        ("user of another tenant", app.acting_for("intruder", Some("u1")), &of_another_tenant),
        ("token of another tenant", gateway, &of_another_tenant),
        ("another user of the tenant", portal.acting_for("victim", Some("u2")), others),
        ("the tenant without a user", portal.acting_for("victim", None), others),
        ("an assertion for another user", assertion("sub", json!("u2")), others),
        ("an assertion without a user", assertion("note", json!("no user")), others),
        ("another user who may reach all", app.acting_for("victim", Some("u2")), &[&platform]),
        // What does not read as a user or a tenant is refused, and never reads as none.
        ("a user that is a number", assertion("sub", json!(42)), &all),
        ("a user that is null", assertion("sub", json!(null)), &all),
        ("a user that is a list", assertion("sub", json!(["u1"])), &all),
        ("a user that is an object", assertion("sub", json!({ "id": "u1" })), &all),
        ("a tenant that is a number", assertion("tenant", json!(42)), &all),
        ("a tenant that is a list", assertion("tenant", json!(["victim"])), &all),
        ("the platform itself", operator, &tenants),
    ];
    let before = snapshot(&vault).await;
    every_rpc_answers_as_for_an_unknown_id(&callers, &all).await;
    selections_by_foreign_ids_match_nothing(&vault, &tenants, &platform).await;
    assert_eq!(snapshot(&vault).await, before, "nothing was touched");
    for (id, secret) in [(&own, "CANARY victim"), (&users, "CANARY user")] {
        assert_eq!(victim.token(by_id(id)).await.unwrap(), secret);
    }
    callers_in_reach_are_served(&vault, &own, &users).await;
}

/// Compares each RPC that has an id, for each caller and each foreign id, with its answer to an unknown id.
async fn every_rpc_answers_as_for_an_unknown_id(callers: &[Caller<'_>], all: &[&str]) {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut rpcs = 0;
    let mut compared = 0;
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let mut has_id = false;
        request(&method.input(), UNKNOWN, &mut has_id);
        assert_ne!(
            has_id,
            WITHOUT_ID.contains(&method.name()),
            "{}: say in this test where its id is",
            method.name()
        );
        if !has_id {
            continue;
        }
        rpcs += 1;
        for (who, client, ids) in callers {
            let unknown = answer(client, &method, UNKNOWN).await;
            let mistyped = *ids == all;
            assert_eq!(mistyped, unknown.contains("TOKEN_INVALID"), "{} by {who}: {unknown}", method.name());
            for id in *ids {
                assert_eq!(answer(client, &method, id).await, unknown, "{} by {who}", method.name());
                compared += 1;
            }
        }
    }
    assert_eq!(rpcs, 29);
    assert_eq!(compared, 29 * callers.iter().map(|(_, _, ids)| ids.len()).sum::<usize>());
}

/// Administrators who work on one tenant, or on the platform, see and change nothing of another by its ids.
async fn selections_by_foreign_ids_match_nothing(vault: &TestVault, of_victim: &[&str], platform: &str) {
    a_selection_by_foreign_ids_matches_nothing(vault, "intruder", &[of_victim, &[platform]].concat()).await;
    a_selection_by_foreign_ids_matches_nothing(vault, "victim", &[platform]).await;
    a_selection_by_foreign_ids_matches_nothing(vault, "", of_victim).await;
}

async fn a_selection_by_foreign_ids_matches_nothing(vault: &TestVault, tenant: &str, ids: &[&str]) {
    let administrator = vault.client("operator").await;
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let selection = Some(v1::ConnectionSelection { ids, ..Default::default() });
    let request = v1::ListTenantConnectionsRequest {
        tenant_id: tenant.into(),
        selection: selection.clone(),
        show_deleted: true,
        ..Default::default()
    };
    let listed = administrator.admin().list_tenant_connections(request).await.unwrap().into_inner();
    assert_eq!((listed.connections.len(), listed.total), (0, Some(0)), "{tenant}");
    use v1::ConnectionChangeKind as Kind;
    for kind in [Kind::Disable, Kind::Enable, Kind::Disconnect, Kind::Refresh, Kind::Test] {
        for dry_run in [true, false] {
            let request = v1::ChangeTenantConnectionsRequest {
                tenant_id: tenant.into(),
                kind: kind.into(),
                selection: selection.clone(),
                dry_run,
                ..Default::default()
            };
            let changed =
                administrator.admin().change_tenant_connections(request).await.unwrap().into_inner();
            assert_eq!((changed.changes.len(), changed.total), (0, Some(0)), "{tenant}: {kind:?}");
        }
    }
}

/// The other side of the rule: what is shared, and what the permission gives.
async fn callers_in_reach_are_served(vault: &TestVault, own: &str, users: &str) {
    let portal = vault.client("portal").await;
    let app = vault.client("app").await;
    for (client, id, secret) in [
        (portal.acting_for("victim", None), own, "CANARY victim"),
        (portal.acting_for("victim", Some("u2")), own, "CANARY victim"),
        (portal.acting_for("victim", Some("u1")), users, "CANARY user"),
        (app.acting_for("victim", Some("u2")), users, "CANARY user"),
    ] {
        assert_eq!(client.token(by_id(id)).await.unwrap(), secret);
    }
}

/// A vault that trusts two issuers, for callers with tokens.
async fn with_tokens(builder: VaultBuilder) -> (TestVault, TokenIssuer) {
    let keys = TokenIssuer::new(Algorithm::Es256, "k1");
    let builder = builder.file("jwks.json", &keys.jwks()).settings(|settings, folder| {
        for (name, kind) in [("login", IssuerKindSetting::User), ("jobs", IssuerKindSetting::Assertion)] {
            settings.identity.issuers.push(IssuerSection {
                name: name.into(),
                kind,
                issuer: format!("https://{name}.test.local"),
                jwks_file: Some(folder.join("jwks.json")),
                audiences: vec!["credvault".into()],
                ..Default::default()
            });
        }
    });
    (builder.start().await, keys)
}
