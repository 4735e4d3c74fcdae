//! Rows of `tenant_rules`: limits as an object of numbers by name, source rules as a list of `[range, service or null]`.

use credvault_domain::{
    AddressRange, LimitKind, LimitOverrides, ServiceId, SourceRule, SourceRules, TenantId, Timestamp,
};
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use serde_json::{Value, json};

use crate::Error;

/// What administrators have set for a tenant.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TenantRules {
    /// Limits in place of the deployment's defaults.
    pub limits: LimitOverrides,
    /// When a limit was last set or taken away.
    pub limits_time: Option<Timestamp>,
    /// From where services may call for the tenant.
    pub sources: SourceRules,
    /// When the source rules were last set.
    pub sources_time: Option<Timestamp>,
}

/// The rules of one tenant; without a row, it has none.
pub(crate) async fn read<C: ConnectionTrait>(db: &C, tenant: &TenantId) -> Result<TenantRules, Error> {
    let sql = "SELECT limits, limits_time, sources, sources_time FROM tenant_rules WHERE tenant_id = $1";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    db.query_one_raw(asked).await?.as_ref().map_or(Ok(TenantRules::default()), rules)
}

/// The rules of a row.
pub(super) fn rules(row: &QueryResult) -> Result<TenantRules, Error> {
    let time = |column: &str| {
        let micros: Option<i64> = row.try_get("", column)?;
        Ok::<_, Error>(micros.map(Timestamp::from_micros))
    };
    Ok(TenantRules {
        limits: limits(&row.try_get("", "limits")?)?,
        limits_time: time("limits_time")?,
        sources: sources(&row.try_get("", "sources")?)?,
        sources_time: time("sources_time")?,
    })
}

pub(super) fn limits_json(limits: &LimitOverrides) -> Value {
    limits
        .iter()
        .map(|(kind, value)| (kind.as_str().to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(super) fn sources_json(sources: &SourceRules) -> Value {
    let rule = |SourceRule { service, range }: &SourceRule| {
        json!([range.to_string(), service.as_ref().map(ServiceId::as_str)])
    };
    sources.iter().map(rule).collect()
}

/// Reads limits. A later release may know more of them than this one.
fn limits(value: &Value) -> Result<LimitOverrides, Error> {
    let mut limits = LimitOverrides::default();
    for (name, value) in value.as_object().ok_or(Error::Integrity)? {
        if let Some(kind) = LimitKind::parse(name) {
            limits.set(kind, Some(value.as_u64().ok_or(Error::Integrity)?));
        }
    }
    Ok(limits)
}

fn sources(value: &Value) -> Result<SourceRules, Error> {
    let rule = |value: &Value| {
        let [range, service] = value.as_array()?.as_slice() else { return None };
        let service = if service.is_null() { None } else { Some(ServiceId::parse(service.as_str()?).ok()?) };
        Some(SourceRule { service, range: AddressRange::parse(range.as_str()?).ok()? })
    };
    let rules = value.as_array().and_then(|rules| rules.iter().map(rule).collect::<Option<Vec<_>>>());
    SourceRules::new(rules.ok_or(Error::Integrity)?).map_err(|_| Error::Integrity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_anything_else_is_refused() {
        let mut overrides = LimitOverrides::default();
        overrides.set(LimitKind::Connections, Some(0));
        overrides.set(LimitKind::TestsPerMinute, Some(7));
        assert_eq!(limits(&limits_json(&overrides)).expect("limits"), overrides);
        assert_eq!(limits(&json!({ "of_a_later_release": "x" })).expect("limits"), LimitOverrides::default());
        for wrong in [json!([]), json!({ "connections": -1 }), json!({ "connections": "1" })] {
            assert!(matches!(limits(&wrong), Err(Error::Integrity)), "{wrong}");
        }
        let stored = json!([["10.0.0.0/8", null], ["::1/128", "spiffe://test.local/app"]]);
        assert_eq!(sources_json(&sources(&stored).expect("rules")), stored);
        for wrong in
            [json!({}), json!([["10.0.0.0/8"]]), json!([["10.0.0.0/8", 1]]), json!([["10.0.0.1/8", null]])]
        {
            assert!(matches!(sources(&wrong), Err(Error::Integrity)), "{wrong}");
        }
    }
}
