//! Requests that many tests send.

use std::collections::BTreeMap;

use credvault_proto::v1;

/// A connection of the provider `generic` with one secret field.
pub fn generic(account: &str, secret: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
        provider: "generic".to_owned(),
        account_name: account.to_owned(),
        auth_mode: "fields".to_owned(),
        credential: Some(input(&[("token", secret)])),
        ..Default::default()
    }
}

pub fn owned_by(user: &str, mut request: v1::CreateConnectionRequest) -> v1::CreateConnectionRequest {
    request.owner = Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: user.to_owned() });
    request
}

pub fn input(fields: &[(&str, &str)]) -> v1::CredentialInput {
    let fields: BTreeMap<_, _> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    v1::CredentialInput { fields, expiry: None }
}

pub fn by_id(id: &str) -> v1::FetchCredentialRequest {
    v1::FetchCredentialRequest { connection_id: id.to_owned(), ..Default::default() }
}

pub fn by_provider(provider: &str) -> v1::FetchCredentialRequest {
    v1::FetchCredentialRequest { provider: provider.to_owned(), ..Default::default() }
}
