//! "API Summary", "Credential Management": saved, listed masked, verified, updated, deleted softly.

use credvault_proto::v1;

use super::{Etl, deleted, get, listed, shop, updated, verified};
use crate::harness::provider::state;
use crate::harness::{Client, VaultBuilder, by_id, eventually, refusal};
use crate::on_both;

on_both![each_service_is_saved_shown_masked_and_verified, a_credential_is_updated_deleted_and_restored,];

async fn each_service_is_saved_shown_masked_and_verified(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let user = etl.user("user_1");
    let mut ids = Vec::new();
    let mut secrets = vec!["CANARY".to_owned(), "PRIVATE KEY".to_owned()];
    for request in etl.of_each_service() {
        fields_are_described(&user, &request).await;
        secrets.extend(request.credential.as_ref().unwrap().fields.values().cloned());
        // "Core Backend Files", "src/routes/credentials.ts": `POST /api/credentials/save`
        let saved = user.create(request).await.unwrap();
        let owner = saved.owner.unwrap();
        assert_eq!((owner.kind(), owner.user_id.as_str()), (v1::OwnerKind::User, "user_1"));
        assert!(saved.enabled && !saved.hints.is_empty());
        ids.push(saved.id);
    }
    // "List credentials (masked)", "Get credential metadata", "No credential data in responses"
    let shown = listed(&user, false).await;
    assert_eq!(shown.len(), 4);
    assert!(shown.iter().any(|one| one.provider == "shopify" && one.hints["access_token"].contains('…')));
    let shown = format!("{shown:?} {:?}", get(&user, &ids[0]).await.unwrap());
    assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    for id in &ids {
        works(&etl, &user, id).await;
    }
    // "Encryption/Decryption Service", "Credentials encrypted (AES-256-GCM)": nothing of it stands in the database.
    for secret in &secrets {
        assert_eq!(etl.connected.vault.found_in(secret).await, None);
    }
}

/// "src/types/api.ts": what a credential consists of is described, and every field of it is a secret.
async fn fields_are_described(user: &Client, request: &v1::CreateConnectionRequest) {
    let get = v1::GetProviderRequest { provider: request.provider.clone() };
    let provider = user.connections().get_provider(get).await.unwrap().into_inner().provider.unwrap();
    let mode = provider.auth_modes.iter().find(|mode| mode.name == request.auth_mode).unwrap();
    let schema = format!("{:?}", mode.credential_schema.as_ref().unwrap());
    let fields = &request.credential.as_ref().unwrap().fields;
    assert!(fields.keys().all(|name| schema.contains(name)) && schema.contains("writeOnly"), "{schema}");
}

/// "Verify credentials work", "Get verification status"
async fn works(etl: &Etl, user: &Client, id: &str) {
    // From a key or a refresh token the vault makes what requests need.
    eventually("a credential ready for use", || async { user.fetch(by_id(id)).await.is_ok() }).await;
    let credential = user.fetch(by_id(id)).await.unwrap();
    let headers = &credential.request_auth.as_ref().unwrap().headers;
    if headers.contains_key("Authorization") {
        assert!(etl.connected.accepts(&credential).await, "{} of {id}", credential.provider);
    }
    assert!(!credential.fields.contains_key("refresh_token"), "it stays inside");
    assert!(get(user, id).await.unwrap().last_verified_time.is_none());
    // `POST /api/credentials/:id/verify`
    let answer = verified(user, id).await.unwrap();
    assert_eq!(answer.outcome(), v1::TestOutcome::Works, "{answer:?}");
    // `GET /api/credentials/:id/verify-status`
    let status = get(user, id).await.unwrap();
    assert!(status.last_verified_time.is_some());
    assert_eq!(status.state(), v1::ConnectionState::Connected);
    assert_eq!(status.external_account_id, answer.external_account_id);
}

async fn a_credential_is_updated_deleted_and_restored(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let user = etl.user("user_1");
    let first = etl.issued("shop-1");
    let id = user.create(shop("Main", &first)).await.unwrap().id;
    let token = async || user.fetch(by_id(&id)).await.unwrap().fields["access_token"].clone();
    // `PUT /api/credentials/:id`: a value that does not work replaces nothing.
    let refused = updated(&user, &id, "shpat_CANARYdead", true).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
    assert_eq!(token().await, first);
    let second = etl.issued("shop-1");
    assert_eq!(updated(&user, &id, &second, true).await.unwrap().version, 2);
    assert_eq!(token().await, second);
    let list = v1::ListCredentialVersionsRequest { connection_id: id.clone(), ..Default::default() };
    let versions = user.vault().list_credential_versions(list).await.unwrap().into_inner().versions;
    assert_eq!(
        versions.iter().map(|one| (one.version, one.current)).collect::<Vec<_>>(),
        [(2, true), (1, false)]
    );

    // `DELETE /api/credentials/:id`, "Data Protection", "Soft deletes for history", "Soft deletes for data retention"
    let gone = deleted(&user, &id).await.unwrap().connection.unwrap();
    assert!(gone.delete_time.is_some() && gone.purge_time.is_some());
    assert_eq!((listed(&user, false).await.len(), listed(&user, true).await.len()), (0, 1));
    assert_eq!(refusal(&user.fetch(by_id(&id)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    let undelete = v1::UndeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    user.connections().undelete_connection(undelete).await.unwrap();
    assert_eq!(token().await, second);

    // The verification that is stored is the provider's last word.
    etl.connected.provider.revoke_account("shop-1");
    assert_eq!(verified(&user, &id).await.unwrap().outcome(), v1::TestOutcome::Refused);
    assert_eq!(state(&user, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
    updated(&user, &id, &etl.issued("shop-1"), true).await.unwrap();
    assert_eq!(state(&user, &id).await, (v1::ConnectionState::Connected, String::new()));
}
