//! The end of a tenant, between the wire and the domain.

use credvault_operations::tenants::EraseStep;
use credvault_store::{
    ErasedKey, ErasedStore, Erasure, ErasureContent, ErasureState, RequestedErasure, SignedStatement,
    SigningPublicKey,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::timestamp;
use credvault_proto::v1;

/// The token that a request brings back, if it is the second one.
pub(crate) fn confirmation_token(token: String) -> Option<SecretString> {
    Some(token).filter(|token| !token.is_empty()).map(SecretString::from)
}

pub(crate) fn erase_step(step: EraseStep) -> v1::EraseTenantResponse {
    match step {
        EraseStep::Requested(RequestedErasure { content, token, expire_time }) => v1::EraseTenantResponse {
            content: Some(content_of(content)),
            confirmation_token: token.expose_secret().to_owned(),
            confirmation_expire_time: Some(timestamp(expire_time)),
            erasure: None,
        },
        EraseStep::Confirmed(confirmed) => {
            v1::EraseTenantResponse { erasure: Some(erasure(*confirmed)), ..Default::default() }
        }
    }
}

pub(crate) fn erasure(erasure: Erasure) -> v1::Erasure {
    let Erasure {
        tenant,
        state,
        service,
        request_time,
        confirm_time,
        finish_time,
        content,
        keys,
        stores,
        waits_for,
        statement,
    } = erasure;
    let state = match state {
        ErasureState::Erasing => v1::ErasureState::Erasing,
        ErasureState::Erased => v1::ErasureState::Erased,
    };
    let key = |ErasedKey { version, root_key }| v1::ErasedKey { version, root_key_id: root_key };
    let store = |ErasedStore { store, removed, written_off }| {
        let (removed, written_off) = (count(removed), count(written_off));
        v1::ErasedStore { store, removed, written_off }
    };
    let (statement, signature, signing_key_id) = match statement {
        Some(SignedStatement { text, signature, signing_key }) => (text, signature, signing_key),
        None => Default::default(),
    };
    v1::Erasure {
        tenant_id: tenant.as_str().to_owned(),
        state: state.into(),
        service: service.as_str().to_owned(),
        request_time: Some(timestamp(request_time)),
        confirm_time: Some(timestamp(confirm_time)),
        finish_time: finish_time.map(timestamp),
        content: Some(content_of(content)),
        keys: keys.into_iter().map(key).collect(),
        stores: stores.into_iter().map(store).collect(),
        statement,
        signature,
        signing_key_id,
        waiting_for_stores: waits_for,
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The vault's public keys, the one that signs first.
pub(crate) fn signing_keys(keys: Vec<SigningPublicKey>) -> v1::GetSigningKeyResponse {
    let keys: Vec<_> = keys.into_iter().map(signing_key).collect();
    let v1::SigningKey { id, public_key, .. } = keys.first().cloned().unwrap_or_default();
    v1::GetSigningKeyResponse { id, public_key, keys }
}

pub(crate) fn signing_key(key: SigningPublicKey) -> v1::SigningKey {
    let SigningPublicKey { id, public_key, create_time } = key;
    v1::SigningKey { id, public_key: public_key.to_vec(), create_time: Some(timestamp(create_time)) }
}

fn content_of(content: ErasureContent) -> v1::ErasureContent {
    let ErasureContent {
        connections,
        credential_versions,
        users,
        apps,
        event_endpoints,
        key_versions,
        pending_revocations,
    } = content;
    v1::ErasureContent {
        connections,
        credential_versions,
        users,
        apps,
        event_endpoints,
        key_versions,
        pending_revocations,
    }
}
