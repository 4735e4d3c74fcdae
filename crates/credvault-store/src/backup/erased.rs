//! The tenants that were erased, as a living vault lists them: a backup that is older than an erasure must not bring the
//! tenant back.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_crypto::{signing_key_id, verify_statement};
use credvault_domain::{ServiceId, TenantId, TenantState};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::BackupError;
use super::row::{MadeRows, put};
use crate::entity::erasure::Model;
use crate::erasures::statement::ERASURE_STATEMENT;

/// Erasures that a vault has listed, by their tenants.
#[derive(Clone, Default, Debug)]
pub struct ErasedTenants(BTreeMap<String, Erasure>);

/// A row of the table `erasures`, without the hash of the token, which no list has.
#[derive(Clone, Debug)]
struct Erasure {
    service: String,
    request_time: i64,
    confirm_time: i64,
    finish_time: Option<i64>,
    content: String,
    keys: String,
    statement: Option<Statement>,
}

/// The columns of [`ErasedTenants::tenant_rows`].
pub(super) const TENANT_COLUMNS: [&str; 6] =
    ["tenant_id", "display_name", "state", "revision", "create_time", "update_time"];
/// The columns of [`ErasedTenants::erasure_rows`].
pub(super) const ERASURE_COLUMNS: [&str; 12] = [
    "tenant_id",
    "state",
    "service",
    "token_hash",
    "content",
    "keys",
    "request_time",
    "confirm_time",
    "finish_time",
    "statement",
    "signature",
    "signing_key",
];

impl Erasure {
    /// The row of this erasure in `erasures`.
    fn row(&self, tenant: &str) -> Result<Vec<u8>, BackupError> {
        let mut row = Vec::new();
        let state = if self.statement.is_some() { "ERASED" } else { "ERASING" };
        // No list has the hash of the token, and no token gives this one.
        for value in [tenant, state, &self.service, "", &self.content, &self.keys] {
            put(&mut row, Some(value.as_bytes()))?;
        }
        for time in [Some(self.request_time), Some(self.confirm_time), self.finish_time] {
            put(&mut row, time.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))?;
        }
        let statement = self.statement.as_ref();
        put(&mut row, statement.map(|statement| statement.text.as_bytes()))?;
        put(&mut row, statement.map(|statement| statement.signature.as_slice()))?;
        put(&mut row, statement.map(|statement| statement.signing_key.as_bytes()))?;
        Ok(row)
    }
}

/// What the vault has signed about a finished erasure.
#[derive(Clone, Debug)]
struct Statement {
    text: String,
    signature: Vec<u8>,
    signing_key: String,
}

/// An erasure in protobuf's JSON, where a field with its default value is absent and an integer may be a text.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    tenant_id: String,
    service: String,
    request_time: String,
    confirm_time: String,
    finish_time: String,
    content: BTreeMap<String, Value>,
    keys: Vec<ListedKey>,
    statement: String,
    signature: String,
    signing_key_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListedKey {
    version: Value,
    root_key_id: String,
}

impl ErasedTenants {
    /// Reads what `credvault tenants erasures --output json` has printed, or the answer of ListErasures, or a bare list.
    ///
    /// # Errors
    /// [`BackupError::Erasures`] if it is anything else.
    pub fn parse(json: &[u8]) -> Result<Self, BackupError> {
        let no_list = || BackupError::Erasures("it is no JSON list of erasures");
        let value: Value = serde_json::from_slice(json).map_err(|_| no_list())?;
        let list = match value {
            Value::Array(list) => list,
            Value::Object(mut answer) => match answer.remove("items").or_else(|| answer.remove("erasures")) {
                Some(Value::Array(list)) => list,
                // An answer without a single erasure.
                None if answer.is_empty() => Vec::new(),
                _ => return Err(no_list()),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(no_list()),
        };
        let mut erased = BTreeMap::new();
        for item in list {
            let listed: Listed = serde_json::from_value(item).map_err(|_| no_list())?;
            let tenant = TenantId::parse(&listed.tenant_id)
                .map_err(|_| BackupError::Erasures("an erasure names no tenant"))?;
            erased.insert(tenant.as_str().to_owned(), erasure(listed)?);
        }
        Ok(Self(erased))
    }

    /// The erasures of a vault's own database.
    pub(super) fn of(rows: Vec<Model>) -> Self {
        let erasure = |row: Model| {
            let statement = match (row.statement, row.signature, row.signing_key) {
                (Some(text), Some(signature), Some(signing_key)) => {
                    Some(Statement { text, signature, signing_key })
                }
                _ => None,
            };
            let Model { tenant_id, service, request_time, confirm_time, finish_time, content, keys, .. } =
                row;
            (
                tenant_id,
                Erasure { service, request_time, confirm_time, finish_time, content, keys, statement },
            )
        };
        Self(rows.into_iter().map(erasure).collect())
    }

    /// The tenants whose erasure a backup does not know, which names those that it knows.
    pub(super) fn since(&self, known: &[String]) -> BTreeSet<String> {
        self.0.keys().filter(|tenant| !known.contains(tenant)).cloned().collect()
    }

    /// The rows of these tenants in `tenants`: what is left of one that was erased.
    pub(super) fn tenant_rows(&self, of: &BTreeSet<String>) -> Result<MadeRows, BackupError> {
        let row = |(tenant, erasure): (&String, &Erasure)| {
            let mut row = Vec::new();
            for text in [tenant.as_str(), "", TenantState::Suspended.as_str()] {
                put(&mut row, Some(text.as_bytes()))?;
            }
            for number in [1, erasure.request_time, erasure.confirm_time] {
                put(&mut row, Some(&number.to_be_bytes()))?;
            }
            Ok::<_, BackupError>(row)
        };
        Ok(MadeRows::new(self.those(of).map(row).collect::<Result<_, _>>()?))
    }

    /// The rows of these tenants in `erasures`.
    pub(super) fn erasure_rows(&self, of: &BTreeSet<String>) -> Result<MadeRows, BackupError> {
        let rows = self.those(of).map(|(tenant, erasure)| erasure.row(tenant));
        Ok(MadeRows::new(rows.collect::<Result<_, BackupError>>()?))
    }

    fn those<'a>(&'a self, tenants: &'a BTreeSet<String>) -> impl Iterator<Item = (&'a String, &'a Erasure)> {
        self.0.iter().filter(move |(tenant, _)| tenants.contains(*tenant))
    }

    /// Checks that one of the vault's keys has signed every finished erasure: the list is of the same vault.
    pub(super) fn verify(&self, public_keys: &[[u8; 32]]) -> Result<(), BackupError> {
        for (tenant, erasure) in &self.0 {
            let Some(statement) = &erasure.statement else { continue };
            let signed_by = public_keys.iter().find(|key| signing_key_id(key) == statement.signing_key);
            let Some(public_key) = signed_by else {
                return Err(BackupError::Erasures(
                    "a key has signed it that neither the backup knows nor --public-key names, so it is of another vault, or \
                     the vault's signing key was replaced since",
                ));
            };
            if !verify_statement(
                public_key,
                ERASURE_STATEMENT,
                statement.text.as_bytes(),
                &statement.signature,
            ) {
                return Err(BackupError::Erasures("the signature of an erasure does not verify"));
            }
            let said: Option<Value> = serde_json::from_str(&statement.text).ok();
            if said.as_ref().and_then(|said| said["tenant"].as_str()) != Some(tenant) {
                return Err(BackupError::Erasures("the statement of an erasure is about another tenant"));
            }
        }
        Ok(())
    }
}

fn erasure(listed: Listed) -> Result<Erasure, BackupError> {
    let content = |name: &str| number(listed.content.get(name).unwrap_or(&Value::Null));
    let content = json!({
        "connections": content("connections")?,
        "credential_versions": content("credentialVersions")?,
        "users": content("users")?,
        "apps": content("apps")?,
        "event_endpoints": content("eventEndpoints")?,
        "key_versions": content("keyVersions")?,
        "pending_revocations": content("pendingRevocations")?,
    });
    let keys = listed.keys.iter().map(key).collect::<Result<Vec<Value>, BackupError>>()?;
    let statement = match listed.statement.is_empty() {
        true => None,
        false => Some(Statement {
            signature: STANDARD
                .decode(&listed.signature)
                .map_err(|_| BackupError::Erasures("a signature is not base64"))?,
            text: listed.statement,
            signing_key: listed.signing_key_id,
        }),
    };
    // The vault reads it again, for as long as it lives.
    ServiceId::parse(&listed.service)
        .map_err(|_| BackupError::Erasures("an erasure names no service that confirmed it"))?;
    Ok(Erasure {
        service: listed.service,
        request_time: micros(&listed.request_time)?,
        confirm_time: micros(&listed.confirm_time)?,
        // Without a statement it is not finished: upkeep finishes it, and signs.
        finish_time: statement.as_ref().map(|_| micros(&listed.finish_time)).transpose()?,
        content: content.to_string(),
        keys: Value::Array(keys).to_string(),
        statement,
    })
}

/// A destroyed key as the table has it.
fn key(listed: &ListedKey) -> Result<Value, BackupError> {
    Ok(json!({ "version": number(&listed.version)?, "root_key": listed.root_key_id }))
}

/// An integer of protobuf's JSON; 0 if it is absent.
fn number(value: &Value) -> Result<i64, BackupError> {
    let number = match value {
        Value::Null => Some(0),
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.ok_or(BackupError::Erasures("a number of an erasure is none"))
}

/// An instant in microseconds since 1970.
fn micros(text: &str) -> Result<i64, BackupError> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let micros = time.and_then(|time| i64::try_from(time.unix_timestamp_nanos() / 1000).ok());
    micros.ok_or(BackupError::Erasures("a time of an erasure is none"))
}

#[cfg(test)]
mod tests {
    use credvault_crypto::{SystemRandom, VaultSigner};

    use super::*;
    use crate::backup::row::{NextRow as _, Values};

    const LIST: &str = r#"[{
        "tenantId": "acme", "state": "ERASURE_STATE_ERASED", "service": "spiffe://test.local/operator",
        "requestTime": "2027-01-15T08:00:00Z", "confirmTime": "2027-01-15T08:01:00.500Z",
        "finishTime": "2027-01-15T08:01:01Z", "content": {"connections": "3", "keyVersions": 1},
        "keys": [{"version": "1", "rootKeyId": "01ab23cd"}],
        "statement": "{}", "signature": "AAEC", "signingKeyId": "56475aa75463474c"
    }, {
        "tenantId": "other", "service": "spiffe://test.local/operator", "requestTime": "2027-01-15T08:00:00Z", "confirmTime": "2027-01-15T08:01:00Z"
    }]"#;

    #[test]
    fn a_list_becomes_rows() {
        let erased = ErasedTenants::parse(LIST.as_bytes()).expect("a list");
        let acme = &erased.0["acme"];
        assert_eq!(acme.confirm_time, 1_800_000_060_500_000);
        assert_eq!(acme.finish_time, Some(1_800_000_061_000_000));
        assert!(acme.content.contains(r#""connections":3"#) && acme.content.contains(r#""users":0"#));
        let keys: Value = serde_json::from_str(&acme.keys).expect("JSON");
        assert_eq!(keys, json!([{ "version": 1, "root_key": "01ab23cd" }]));
        assert_eq!(acme.statement.as_ref().expect("signed").signature, [0, 1, 2]);
        let other = &erased.0["other"];
        assert!(other.statement.is_none() && other.finish_time.is_none());
        let since = erased.since(&["other".to_owned()]);
        assert_eq!(since.iter().collect::<Vec<_>>(), ["acme"]);
        for (mut rows, columns) in [
            (erased.tenant_rows(&since).expect("rows"), TENANT_COLUMNS.len()),
            (erased.erasure_rows(&since).expect("rows"), ERASURE_COLUMNS.len()),
        ] {
            let row = rows.next().expect("a row").expect("one");
            assert_eq!(Values(row).count(), columns);
            assert!(rows.next().expect("the end").is_none());
        }
        for empty in ["[]", "{}", r#"{"erasures": []}"#] {
            assert!(ErasedTenants::parse(empty.as_bytes()).expect("a list").0.is_empty(), "{empty}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong = [
            "",
            "3",
            r#"{"tenants": []}"#,
            r#"[{"tenantId": ":platform"}]"#,
            r#"["acme"]"#,
            r#"[{"tenantId": "acme", "requestTime": "2027-01-15T08:00:00Z", "confirmTime": "2027-01-15T08:01:00Z"}]"#,
            r#"[{"tenantId": "acme", "service": "spiffe://test.local/operator", "requestTime": "yesterday", "confirmTime": "2027-01-15T08:01:00Z"}]"#,
        ];
        for text in wrong {
            let refused = ErasedTenants::parse(text.as_bytes());
            assert!(matches!(refused, Err(BackupError::Erasures(_))), "{text}");
        }
    }

    #[test]
    fn a_list_of_another_vault_or_with_another_statement_is_refused() {
        let erased = ErasedTenants::parse(LIST.as_bytes()).expect("a list");
        for keys in [&[][..], &[[0; 32]]] {
            assert!(matches!(erased.verify(keys), Err(BackupError::Erasures(_))), "{keys:?}");
        }
        let (signer, _) = VaultSigner::generate(&SystemRandom).expect("randomness");
        let forged = LIST.replacen("56475aa75463474c", signer.key_id(), 1);
        let forged = ErasedTenants::parse(forged.as_bytes()).expect("a list");
        assert!(matches!(forged.verify(&[signer.public_key()]), Err(BackupError::Erasures(_))));
    }

    #[test]
    fn each_of_the_vaults_keys_may_have_signed() {
        let signers = [(); 2].map(|()| VaultSigner::generate(&SystemRandom).expect("randomness").0);
        let keys = signers.each_ref().map(VaultSigner::public_key);
        for signer in &signers {
            let text = r#"{"tenant":"acme"}"#;
            let signature = STANDARD.encode(signer.sign(ERASURE_STATEMENT, text.as_bytes()));
            let list = LIST
                .replacen("56475aa75463474c", signer.key_id(), 1)
                .replacen("AAEC", &signature, 1)
                .replacen(r#""statement": "{}""#, &format!(r#""statement": {}"#, json!(text)), 1);
            ErasedTenants::parse(list.as_bytes()).expect("a list").verify(&keys).expect("signed");
        }
    }
}
