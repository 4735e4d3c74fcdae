//! What moves in, as messages of the API.

use credvault_import::{App, Entry, Holder};
use secrecy::ExposeSecret as _;

use super::arguments::ImportArgs;
use crate::grpc::struct_of;
use credvault_proto::v1;

/// A connection that moves in.
pub(super) fn item(entry: Entry) -> v1::ImportItem {
    let Entry {
        source,
        tenant: _,
        holder,
        provider,
        auth_mode,
        account_name,
        config,
        secrets,
        expires,
        consented,
        external_account_id,
        labels,
        disabled,
        default,
    } = entry;
    let (kind, user_id) = match holder {
        Holder::User(user) => (v1::OwnerKind::User, user),
        Holder::Tenant => (v1::OwnerKind::Tenant, String::new()),
        Holder::Platform => (v1::OwnerKind::Platform, String::new()),
    };
    let fields = secrets.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned()));
    let fields: std::collections::BTreeMap<_, _> = fields.collect();
    let expiry = expires.map(|seconds| {
        v1::credential_input::Expiry::ExpireTime(prost_types::Timestamp { seconds, nanos: 0 })
    });
    v1::ImportItem {
        source,
        owner: Some(v1::Owner { kind: kind.into(), user_id }),
        provider,
        account_name,
        auth_mode,
        config: Some(struct_of(&config)),
        labels,
        external_account_id: external_account_id.unwrap_or_default(),
        disabled,
        default,
        credential: (!fields.is_empty()).then_some(v1::CredentialInput { fields, expiry }),
        consent_time: consented.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
    }
}

/// An app that moves in: the platform's, or the tenant's that the command names.
pub(super) fn app(app: App, arguments: &ImportArgs) -> (String, v1::PutOAuthAppRequest) {
    let App { source, provider, client_id, client_secret, redirect_uri } = app;
    let request = v1::PutOAuthAppRequest {
        tenant_id: arguments.app_tenant(),
        provider,
        client_id,
        client_secret: client_secret.expose_secret().to_owned(),
        redirect_uri: redirect_uri.unwrap_or_default(),
        ..Default::default()
    };
    (source, request)
}
