//! What the sealed values of a connection and of an app are bound to: everything beside them, unsealed, that decides
//! whose they are and where they are sent. A row that was altered in one of these does not open.
//!
//! All settings of a connection are bound, and not only those that decide a destination. Which ones do is the provider
//! file's word, and that may change with a release; what was sealed before must open afterwards. So whatever changes a
//! setting seals the connection's values anew, in the same transaction ([`rebind`]).

use credvault_crypto::{Binding, Context};
use credvault_domain::{Config, Connection, ConnectionId, Owner};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
};
use serde_json::{Map, Value};

use crate::Error;
use crate::change::Change;
use crate::connections::row::owner;
use crate::entity::{connection, credential_version, revocation, rotated_key, token};
use crate::sealed::{Sealed, SealedRecord};

/// What the values of a row of `connections` are bound to.
pub(crate) fn of_row(model: &connection::Model) -> Binding {
    of_columns(&model.tenant_id, &model.owner_user, &model.provider, &model.auth_mode, &model.config)
}

/// The same of columns of such a row.
pub(crate) fn of_columns(
    tenant: &str,
    owner_user: &str,
    provider: &str,
    auth_mode: &str,
    config: &Value,
) -> Binding {
    let none = Map::new();
    // A config that is no object was not written by us: it is bound to nothing that was.
    of_facts(&owner(tenant, owner_user), provider, auth_mode, config.as_object().unwrap_or(&none))
}

/// The same of a connection that was read.
pub(crate) fn of_connection(connection: &Connection) -> Binding {
    let Connection { owner, provider, auth_mode, config, .. } = connection;
    of_facts(owner, provider.as_str(), auth_mode.as_str(), config.as_object())
}

/// Whether these are the settings of a row, in whatever spelling.
pub(crate) fn has_config(model: &connection::Model, config: &Config) -> bool {
    model.config.as_object().is_some_and(|stored| canonical(stored) == canonical(config.as_object()))
}

fn of_facts(owner: &Owner, provider: &str, auth_mode: &str, config: &Map<String, Value>) -> Binding {
    let user = owner.user().map_or("", |user| user.as_str());
    Binding::of(&[
        ("owner", owner.kind().as_bytes()),
        ("user", user.as_bytes()),
        ("provider", provider.as_bytes()),
        ("auth_mode", auth_mode.as_bytes()),
        ("config", canonical(config).as_bytes()),
    ])
}

/// JSON in one spelling: compact, members ordered by name, whole numbers without a fraction. PostgreSQL keeps neither the
/// order of members nor the spelling of numbers.
pub(crate) fn canonical(object: &Map<String, Value>) -> String {
    let mut text = String::new();
    write_object(object, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(object) => write_object(object, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write(item, text);
            }
            text.push(']');
        }
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // Below 2^64 a database may give it back as a whole number.
            Some(float) if float.fract() == 0.0 && float.abs() < 1.8e19 => {
                // Adding zero takes the sign from a negative zero.
                text.push_str(&format!("{:.0}", float + 0.0));
            }
            _ => text.push_str(&number.to_string()),
        },
        plain @ (Value::Null | Value::Bool(_) | Value::String(_)) => text.push_str(&plain.to_string()),
    }
}

fn write_object(object: &Map<String, Value>, text: &mut String) {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_unstable_by_key(|(name, _)| name.as_str());
    text.push('{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        text.push_str(if index > 0 { "," } else { "" });
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        write(value, text);
    }
    text.push('}');
}

/// Seals the value of one row anew: `$place` says where it is sealed. Rows of four tables have it, each of a type of its own.
macro_rules! seal_anew {
    ($mover:ident, $row:ident, $bytes:expr, $place:expr) => {{
        let stored = SealedRecord { schema: $row.schema, key_version: $row.key_version, bytes: $bytes };
        if let Some(sealed) = $mover.moved(stored, $place)? {
            let mut row = $row.into_active_model();
            row.schema = Set(sealed.schema);
            row.key_version = Set(sealed.key_version);
            row.sealed = Set(sealed.bytes.into());
            row.update(&$mover.change.tx).await?;
        }
    }};
}

/// Seals the values of a connection anew, for its row has changed from `before` to `after`. What does not open stays as
/// it is, and does not open afterwards either.
///
/// # Errors
/// The database fails.
pub(crate) async fn rebind(
    change: &Change<'_>,
    before: &connection::Model,
    after: &connection::Model,
) -> Result<(), Error> {
    let mover = Mover { change, old: of_row(before), new: of_row(after) };
    if mover.old == mover.new {
        return Ok(());
    }
    let (tenant, id) = (change.tenant(), ConnectionId::from_uuid(after.id));
    let versions = credential_version::Entity::find()
        .filter(credential_version::Column::TenantId.eq(after.tenant_id.as_str()))
        .filter(credential_version::Column::ConnectionId.eq(after.id))
        .filter(credential_version::Column::Sealed.is_not_null());
    for row in versions.all(&change.tx).await? {
        let Some(bytes) = row.sealed.as_deref() else { continue };
        let version = row.version;
        seal_anew!(mover, row, bytes, |schema, bound| {
            Context::credential(tenant, id, version, schema, bound)
        });
    }
    let keys = rotated_key::Entity::find()
        .filter(rotated_key::Column::TenantId.eq(after.tenant_id.as_str()))
        .filter(rotated_key::Column::ConnectionId.eq(after.id));
    for row in keys.all(&change.tx).await? {
        let (number, role, version) = (row.number, row.role.clone(), row.version);
        seal_anew!(mover, row, &row.sealed, |schema, bound| {
            Context::rotated_key(tenant, id, (number, role.as_str(), version), schema, bound)
        });
    }
    let key = (after.tenant_id.clone(), after.id);
    if let Some(row) = token::Entity::find_by_id(key.clone()).one(&change.tx).await? {
        let generation = row.generation;
        seal_anew!(mover, row, &row.sealed, |schema, bound| {
            Context::tokens(tenant, id, generation, schema, bound)
        });
    }
    if let Some(row) = revocation::Entity::find_by_id(key).one(&change.tx).await? {
        let generation = row.generation;
        seal_anew!(mover, row, &row.sealed, |schema, bound| {
            Context::revocation(tenant, id, generation, schema, bound)
        });
    }
    Ok(())
}

/// Opens what is bound to the old row and seals it for the new one.
struct Mover<'a> {
    change: &'a Change<'a>,
    old: Binding,
    new: Binding,
}

impl<'a> Mover<'a> {
    /// `None` if it does not open.
    fn moved(
        &self,
        stored: SealedRecord<'_>,
        place: impl Fn(u16, Binding) -> Context<'a>,
    ) -> Result<Option<Sealed>, Error> {
        let (change, random) = (self.change, self.change.store.keyring().random());
        match stored.open_content(change.tenant(), change.keys()?, |schema| place(schema, self.old)) {
            Ok(content) => {
                Sealed::seal_content(&content, change.key()?, random, |schema| place(schema, self.new))
                    .map(Some)
            }
            Err(Error::Integrity) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_have_one_spelling() {
        let of = |value: Value| canonical(value.as_object().expect("an object"));
        assert_eq!(of(json!({ "b": [1.0, true, null], "a": { "d": 1e16, "c": "\"" } })), {
            r#"{"a":{"c":"\"","d":10000000000000000},"b":[1,true,null]}"#
        });
        assert_eq!(of(json!({ "a": -0.0 })), of(json!({ "a": 0 })));
        assert_ne!(of(json!({ "a": "1" })), of(json!({ "a": 1 })));
        assert_ne!(of(json!({ "a": 1.5 })), of(json!({ "a": 1 })));
    }
}
