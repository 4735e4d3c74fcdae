//! Imported connections, to and from the wire.

use credvault_domain::Violations;
use credvault_operations::connections::{Create, Import, Item, ItemOutcome};
use credvault_store::IMPORTED_FROM;

use super::parse::{account_name as checked_name, create_connection, timestamp};
use super::status::{code, item_status};
use credvault_proto::v1;

/// A batch as a client sends it.
pub(crate) fn import(request: v1::ImportConnectionsRequest) -> Result<(Vec<String>, Import), Violations> {
    let v1::ImportConnectionsRequest { items, mode, validate_only } = request;
    let unknown = |_| Violations::of("mode", "must be one of the modes that the protos name");
    let replace = match v1::ImportMode::try_from(mode).map_err(unknown)? {
        v1::ImportMode::Unspecified | v1::ImportMode::Keep => false,
        v1::ImportMode::Replace => true,
    };
    let sources = items.iter().map(|item| item.source.clone()).collect();
    let items = items.into_iter().map(item).collect();
    Ok((sources, Import { items, replace, validate_only }))
}

fn item(item: v1::ImportItem) -> Result<Item, Violations> {
    let v1::ImportItem {
        source,
        owner,
        provider,
        account_name,
        auth_mode,
        config,
        mut labels,
        external_account_id,
        disabled,
        default: make_default,
        credential,
        consent_time,
    } = item;
    if labels.contains_key(IMPORTED_FROM) {
        return Err(Violations::of("labels", "must not have imported_from, which the vault sets"));
    }
    // A label's value follows the rule of a name, except that it may be empty.
    if source.is_empty() {
        return Err(Violations::of("source", "must be given, such as \"pixelpim/42\""));
    }
    checked_name("source", &source)?;
    let consent_time = consent_time.map(|time| timestamp("consent_time", time)).transpose()?;
    labels.insert(IMPORTED_FROM.to_owned(), source);
    let create: Create = create_connection(v1::CreateConnectionRequest {
        owner,
        provider,
        account_name,
        auth_mode,
        config,
        labels,
        external_account_id,
        disabled,
        credential,
        request_id: String::new(),
        rotation_period: None,
    })?;
    Ok(Item { create, make_default, consent_time })
}

/// The outcome of an item.
pub(crate) fn import_result(source: String, outcome: ItemOutcome, trace: &str) -> v1::ImportResult {
    let (kind, id, refusal) = match outcome {
        ItemOutcome::Created(id) => (v1::ImportOutcome::Created, id, None),
        ItemOutcome::Unchanged(id) => (v1::ImportOutcome::Unchanged, Some(id), None),
        ItemOutcome::Replaced(id) => (v1::ImportOutcome::Replaced, Some(id), None),
        ItemOutcome::Refused(refusal) => (v1::ImportOutcome::Refused, None, Some(refusal)),
    };
    let status = refusal.as_ref().map(|refusal| item_status(refusal, trace));
    let error = refusal.map(|refusal| v1::ImportError {
        code: code(refusal.reason()).into(),
        reason: refusal.reason().as_str().to_owned(),
        message: refusal.to_string(),
    });
    let connection_id = id.map(|id| id.to_string()).unwrap_or_default();
    v1::ImportResult { source, outcome: kind.into(), connection_id, error, status }
}
