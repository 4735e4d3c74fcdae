//! Requests about credentials into domain types.

use std::time::Duration;

use credvault_crypto::Tag;
use credvault_domain::{AccountName, FieldName, NameError, Purpose, SecretFields, UserId, Violations};
use credvault_operations::credentials::{Expiry, Fetch, GivenCredential, Put};
use credvault_operations::webhooks::Received;
use credvault_store::{SecretReference, Selector};
use secrecy::SecretString;

use super::{connection_id, expected_version, optional, provider_id, repeat, timestamp, version};
use crate::grpc::wire::value_of;
use credvault_proto::v1;

/// How many characters the name of a secret in its store has at most.
const MAX_REFERENCE: usize = 512;
/// How long a credential may be said to live at most.
const MAX_TTL: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

pub(crate) fn put_credential(mut request: v1::PutCredentialRequest) -> Result<Put, Violations> {
    Ok(Put {
        connection: connection_id(&request.connection_id)?,
        repeat: repeat(&request.request_id, &request),
        expected: expected_version(request.expected_version),
        credential: request.credential.take().map(given_credential),
        config: request.config.take().map(value_of),
        verify: request.verify,
        keeps_account: false,
        reference: request.reference.take().map(secret_reference).transpose(),
    })
}

/// A secret of others.
fn secret_reference(given: v1::SecretReference) -> Result<SecretReference, Violations> {
    let v1::SecretReference { store, name, version, field } = given;
    let mut violations = Violations::default();
    let rule = "must be 1 to 512 printable ASCII characters, as the store itself names the secret";
    let plain = |text: &str| text.len() <= MAX_REFERENCE && text.bytes().all(|byte| byte.is_ascii_graphic());
    let store = violations.collect(secret_store("reference.store", &store));
    if name.is_empty() || !plain(&name) {
        violations.add("reference.name", rule);
    }
    if !plain(&version) {
        violations.add("reference.version", "must be at most 512 printable ASCII characters");
    }
    let field = violations.collect(optional("reference.field", &field, FieldName::parse)).flatten();
    violations.into_result()?;
    let version = Some(version).filter(|version| !version.is_empty());
    Ok(SecretReference { store: store.unwrap_or_default(), name, version, field })
}

/// The name of an external store, as the settings allow them.
pub(crate) fn secret_store(field: &str, text: &str) -> Result<String, Violations> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.is_empty() || text.len() > 40 || !text.bytes().all(allowed) {
        return Err(Violations::of(
            field,
            "must be the name of a store in the settings, 1 to 40 of a-z 0-9 _",
        ));
    }
    Ok(text.to_owned())
}

/// A credential, its secret fields without a copy.
pub(super) fn given_credential(input: v1::CredentialInput) -> GivenCredential {
    let fields = input.fields.into_iter().map(|(name, value)| (name, SecretString::from(value)));
    GivenCredential {
        expiry: input.expiry.map(expiry).transpose(),
        fields: SecretFields::parse("credential.fields", fields),
    }
}

fn expiry(given: v1::credential_input::Expiry) -> Result<Expiry, Violations> {
    match given {
        v1::credential_input::Expiry::ExpireTime(time) => {
            timestamp("credential.expire_time", time).map(Expiry::At)
        }
        v1::credential_input::Expiry::Ttl(ttl) => {
            let wrong = || Violations::of("credential.ttl", "must be more than zero and at most 100 years");
            let ttl = Duration::try_from(ttl).map_err(|_| wrong())?;
            if ttl.is_zero() || ttl > MAX_TTL { Err(wrong()) } else { Ok(Expiry::In(ttl)) }
        }
    }
}

/// What a fetch asks for: a connection by its id, or a provider with account and user.
pub(crate) fn fetch(request: v1::FetchCredentialRequest) -> Result<Fetch, Violations> {
    let v1::FetchCredentialRequest {
        connection_id: id,
        version: number,
        provider,
        account_name: account,
        user_id,
        purpose,
        rejected_tag,
    } = request;
    let mut violations = Violations::default();
    let mut only = |given: bool, field: &str, with: &str| {
        if given {
            violations.add(field, format!("must be left out with {with}"));
        }
    };
    let by_id = !id.is_empty();
    if by_id {
        only(!provider.is_empty(), "provider", "connection_id");
        only(!account.is_empty(), "account_name", "connection_id");
        only(!user_id.is_empty(), "user_id", "connection_id");
    } else {
        only(number != 0, "version", "provider");
    }
    only(!rejected_tag.is_empty() && number != 0, "rejected_tag", "version");
    let rejected = violations.collect(optional("rejected_tag", &rejected_tag, tag)).flatten();
    let purpose = violations.collect(optional("purpose", &purpose, Purpose::parse)).flatten();
    let user = violations.collect(optional("user_id", &user_id, UserId::parse)).flatten();
    let selector = if by_id {
        let id = violations.collect(connection_id(&id));
        let number = violations.collect(if number == 0 { Ok(None) } else { version(number).map(Some) });
        id.zip(number).map(|(id, version)| Selector::Connection { id, version })
    } else if provider.is_empty() {
        violations.add("connection_id", "or provider must be given");
        None
    } else {
        let provider = violations.collect(provider_id(&provider));
        let account = violations.collect(optional("account_name", &account, AccountName::parse));
        provider.zip(account).map(|(provider, account)| Selector::Provider { provider, user, account })
    };
    match selector.filter(|_| violations.is_empty()) {
        Some(selector) => Ok(Fetch { selector, purpose, rejected }),
        None => Err(violations),
    }
}

/// The tag of a rejected credential, whose maker is not known yet.
fn tag(text: &str) -> Result<Tag, NameError> {
    Tag::parse(text).ok_or(NameError("must be the tag of an earlier response, unchanged"))
}

/// A webhook as its receiver got it.
pub(crate) fn received(request: v1::VerifyWebhookRequest) -> Result<Received, Violations> {
    Ok(Received {
        connection: connection_id(&request.connection_id)?,
        webhook: request.webhook,
        method: request.method,
        url: request.url,
        headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        body: request.body,
    })
}
