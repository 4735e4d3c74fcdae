//! "Security Implementation" and "Security Considerations", one point after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use credvault_proto::v1;
use tonic_types::StatusExt as _;

use super::{KEY, deleted, hides, listed, read, shopify, started, takealot, tested, user, works, xero};
use crate::harness::provider::{Connected, begin, complete, decide, state};
use crate::harness::{Client, TestVault, VaultBuilder, by_id, by_provider, refusal};
use crate::isolation::UNKNOWN;
use crate::on_both;

on_both![
    access_is_by_policy_and_ends_at_user_and_organisation,
    what_is_stored_is_sealed_and_an_altered_value_is_refused,
    a_state_is_good_for_one_session_and_once,
    an_error_says_what_to_do_and_nothing_secret,
];

const DENIED: &str = "PermissionDenied POLICY_DENIED";

async fn access_is_by_policy_and_ends_at_user_and_organisation(builder: VaultBuilder) {
    let connected = started(builder).await;
    let organisation = connected.vault.app("acme").await;
    let globex = connected.vault.app("globex").await;
    let (u1, u2) = (user(&connected, "acme", "u1").await, user(&connected, "acme", "u2").await);
    let shared = organisation.create(shopify()).await.unwrap().id;
    let own = u1.create(takealot(KEY)).await.unwrap().id;
    // "All connections are scoped to user/organization".
    for (client, expected) in [(&u1, vec![&shared, &own]), (&u2, vec![&shared]), (&globex, vec![])] {
        let ids: BTreeSet<_> = listed(client).await.into_iter().map(|one| one.id).collect();
        let expected: BTreeSet<_> = expected.into_iter().cloned().collect();
        assert_eq!(ids, expected);
    }
    for stranger in [&u2, &globex] {
        for id in [own.as_str(), UNKNOWN] {
            let answers = [
                read(stranger, id).await.map(drop),
                tested(stranger, id).await.map(drop),
                deleted(stranger, id).await.map(drop),
                stranger.fetch(by_id(id)).await.map(drop),
            ];
            for answer in answers {
                assert_eq!(refusal(&answer.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
            }
        }
    }
    let of_u1 = v1::FetchCredentialRequest { user_id: "u1".into(), ..by_provider("takealot") };
    assert_eq!(refusal(&u2.fetch(of_u1).await.unwrap_err()), DENIED);
    // "The system uses GCP IAM for access control", "Secret Manager provides strong access controls": policies of the
    // vault say which service may do what. One that lists connections does not get their credentials, and that is on
    // record.
    let reader = connected.vault.client("reader").await.acting_for("acme", None);
    assert_eq!(listed(&reader).await.len(), 1);
    assert_eq!(refusal(&reader.fetch(by_id(&shared)).await.unwrap_err()), DENIED);
    let events = organisation.events().await;
    let denied = events.iter().find(|event| event.service.ends_with("/reader")).unwrap();
    assert_eq!((denied.action.as_str(), denied.outcome()), ("FetchCredential", v1::AuditOutcome::Denied));
    events.iter().for_each(hides);
}

async fn what_is_stored_is_sealed_and_an_altered_value_is_refused(builder: VaultBuilder) {
    let connected = started(builder).await;
    let vault = &connected.vault;
    let (acme, globex) = (vault.app("acme").await, vault.app("globex").await);
    let mut made = Vec::new();
    for (client, account) in [(&acme, "one"), (&acme, "two"), (&globex, "one")] {
        let request = v1::CreateConnectionRequest { account_name: account.into(), ..shopify() };
        made.push((client, client.create(request).await.unwrap().id));
    }
    // "2. Encrypted Database Storage (Fallback)": "The encrypted credentials are stored in the database".
    // "Database encryption uses AES-256-GCM with unique IVs": equal credentials, and no two stored values alike.
    assert_eq!(vault.found_in("CANARY").await, None);
    assert_eq!(vault.count("(SELECT DISTINCT sealed FROM credential_versions) AS one").await, 3);
    keys_are_not_one_for_all(vault).await;
    // "Each encrypted string includes IV and auth tag": a value in the place of another does not open.
    let first = "(SELECT sealed FROM credential_versions ORDER BY sealed LIMIT 1)";
    vault.sql(&format!("UPDATE credential_versions SET sealed = {first}")).await;
    let mut opened = 0;
    for (client, id) in &made {
        match client.fetch(by_id(id)).await {
            Ok(_) => opened += 1,
            Err(lost) => assert_eq!(refusal(&lost), "DataLoss INTEGRITY_FAILURE"),
        }
    }
    assert_eq!(opened, 1, "the one whose own value it is");
}

/// "A secure encryption key is stored in the environment": here, it is in a file, and seals only the keys of tenants.
async fn keys_are_not_one_for_all(vault: &TestVault) {
    let operator = vault.client("operator").await;
    for (tenant, sealed) in [("acme", 2), ("globex", 1)] {
        let request = v1::GetKeyStatusRequest { tenant_id: tenant.to_owned() };
        let status = operator.admin().get_key_status(request).await.unwrap().into_inner();
        assert_eq!(status.root_key.unwrap().source, "file");
        let [key] = status.tenant_keys.as_slice() else { panic!("{:?}", status.tenant_keys) };
        assert!(key.active);
        assert_eq!(key.sealed_credentials, sealed);
    }
}

/// A consent up to the callback, begun by this client in its own browser.
async fn allowed(client: &Client, id: &str) -> BTreeMap<String, String> {
    let begun = begin(client, id, "own browser").await;
    assert!(begun.authorization_url.contains("code_challenge_method=S256"));
    decide(&begun.authorization_url, "organisation-1", "allow").await
}

/// "OAuth state validation prevents CSRF attacks".
async fn a_state_is_good_for_one_session_and_once(builder: VaultBuilder) {
    let connected = started(builder).await;
    let organisation = connected.vault.app("acme").await;
    let globex = connected.vault.app("globex").await;
    let (u1, u2) = (organisation.acting_for("acme", Some("u1")), organisation.acting_for("acme", Some("u2")));
    let id = u1.create(xero()).await.unwrap().id;
    for (client, session) in [(&u1, "another browser"), (&u2, "own browser"), (&globex, "own browser")] {
        let back = allowed(&u1, &id).await;
        let forged = complete(client, &back, session).await.unwrap_err();
        assert_eq!(refusal(&forged), "FailedPrecondition STATE_INVALID", "{forged:?}");
    }
    let made_up = ["state", "code"].map(|name| (name.to_owned(), "CANARY".to_owned()));
    let forged = complete(&u1, &made_up.into(), "own browser").await.unwrap_err();
    assert_eq!(refusal(&forged), "FailedPrecondition STATE_INVALID");
    let late = allowed(&u1, &id).await;
    connected.vault.clock.advance(Duration::from_secs(601));
    let late = complete(&u1, &late, "own browser").await.unwrap_err();
    assert!(late.message().contains("ten minutes"), "{late:?}");
    assert_eq!(connected.provider.counts().exchanges, 0, "none of these codes was used");

    let back = allowed(&u1, &id).await;
    assert_eq!(state(&u1, &id).await.0, v1::ConnectionState::Connecting);
    assert_eq!(connected.vault.found_in(&back["state"]).await, None, "only its hash is stored");
    let done = complete(&u1, &back, "own browser").await.unwrap();
    assert_eq!(done.state(), v1::ConnectionState::Connected);
    hides(&done);
    let again = complete(&u1, &back, "own browser").await.unwrap_err();
    assert!(again.message().contains("used already"), "{again:?}");
    assert!(works(&u1.fetch(by_id(&id)).await.unwrap()).await);
    let events = organisation.events().await;
    let ended: BTreeSet<_> = events.iter().map(|event| event.reason.as_str()).collect();
    assert!(ended.contains("STATE_FOREIGN") && ended.contains("STATE_REPLAYED"), "{ended:?}");
}

/// "Error messages don't expose sensitive information".
async fn an_error_says_what_to_do_and_nothing_secret(builder: VaultBuilder) {
    let connected = started(builder).await;
    let portal = user(&connected, "acme", "u1").await;
    let id = portal.create(takealot(KEY)).await.unwrap().id;
    let short = portal.create(takealot("CANARY")).await.unwrap_err();
    let fields = short.get_error_details().bad_request().unwrap().field_violations.clone();
    assert!(fields[0].field.contains("api_key") && !fields[0].description.is_empty(), "{fields:?}");
    let taken = portal.create(takealot(KEY)).await.unwrap_err();
    assert_eq!(refusal(&taken), "AlreadyExists CONNECTION_EXISTS");
    // What an adapter reports about a failed run is kept without the token that slipped into it.
    let report = v1::ReportSyncRequest {
        connection_id: id.clone(),
        resource: "orders".into(),
        status: v1::SyncStatus::Failed.into(),
        error: "401 for Bearer CANARY".into(),
        ..Default::default()
    };
    let failed = portal.connections().report_sync(report).await.unwrap().into_inner();
    hides(&failed);
    assert!(failed.state.unwrap().error.contains("401"));
    // A marketplace that does not answer says nothing about the credential.
    let Connected { vault: _vault, provider } = connected;
    provider.stop().await;
    let unavailable = tested(&portal, &id).await.unwrap_err();
    assert_eq!(refusal(&unavailable), "Unavailable PROVIDER_UNAVAILABLE");
    assert_eq!(read(&portal, &id).await.unwrap().state(), v1::ConnectionState::Connected);
    for error in [short, taken, unavailable] {
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
    }
}
