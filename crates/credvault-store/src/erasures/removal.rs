//! Removing the rows of an erased tenant, and the end of an erasure. Any number of replicas may do so at a time, and what one
//! leaves when it is killed is found again by looking.

use std::time::{Duration, Instant};

use credvault_domain::{Action, AppPlace, ConnectionId, TenantId};
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Statement,
};
use uuid::Uuid;

use crate::change::Change;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::connections::writer::purge;
use crate::database::pieces::{PIECE, execute, piece};
use crate::entity::{connection, erasure, oauth_app, service_config};
use crate::erasures::record::{ErasureState, erasure};
use crate::erasures::remnants::owe_rewriting;
use crate::erasures::request::step_record;
use crate::erasures::statement::{ERASURE_STATEMENT, statement};
use crate::webhook_replays::forget_webhooks;
use crate::{Error, Recorded, Store};

/// How long other replicas may still write what they had counted of an erased tenant.
const LINGER: Duration = Duration::from_secs(3600);

/// What goes one kind after the other. Rows that hang on a connection, a config or an endpoint go with it.
#[derive(Clone, Copy)]
enum Step {
    Connections,
    Apps,
    ServiceConfigs,
    /// Rows of this table that nothing else depends on.
    Rows(&'static str),
    /// What external stores keep.
    Payloads,
    /// Events about the tenant that wait at the platform's endpoints, or were sent to them.
    PlatformEvents,
}

/// All steps. An endpoint's deliveries may be many, so they go before it.
const STEPS: [Step; 25] = [
    Step::Connections,
    Step::Apps,
    Step::ServiceConfigs,
    Step::Rows("event_deliveries"),
    Step::Rows("event_endpoints"),
    Step::PlatformEvents,
    Step::Rows("connect_sessions"),
    Step::Rows("client_registrations"),
    Step::Rows("app_webhook_replays"),
    Step::Rows("rotations"),
    // What opens the tenant's audit log: of that, hashes are left that prove and tell nothing.
    Step::Rows("audit_keys"),
    Step::Rows("audit_days"),
    Step::Rows("user_deletions"),
    Step::Rows("user_sightings"),
    Step::Rows("requests"),
    Step::Rows("platform_dependants"),
    Step::Rows("provider_outcomes"),
    Step::Rows("rate_budgets"),
    Step::Rows("usage_connections"),
    Step::Rows("usage_days"),
    Step::Rows("usage_users"),
    Step::Rows("usage_totals"),
    Step::Rows("usage_erasures"),
    // Last, for a store may be away.
    Step::Rows("payload_work"),
    Step::Payloads,
];

impl Store {
    /// Removes the rows of an erased tenant, until `until` or until none is left; then ends the erasure.
    pub(super) async fn finish_erasure(
        &self,
        tenant: &TenantId,
        until: Option<Instant>,
    ) -> Result<(), Error> {
        let is_over = || until.is_some_and(|until| Instant::now() >= until);
        for step in STEPS {
            while !is_over() && self.erase_tenant_piece(tenant, step).await? > 0 {}
        }
        if is_over() { Ok(()) } else { self.end_erasure(tenant).await }
    }

    /// Goes on with the erasures that a crash, or the end of a call, left undone, and with what replicas have written since.
    pub(crate) async fn finish_erasures(&self) -> Result<(), Error> {
        let everywhere = self.read_background().await?;
        let lately = self.now().before(LINGER).micros();
        let open_or_late = Condition::any()
            .add(erasure::Column::State.eq(ErasureState::Erasing.as_str()))
            .add(erasure::Column::FinishTime.gt(lately));
        let rows = erasure::Entity::find()
            .filter(open_or_late)
            // Those that are not finished first.
            .order_by_desc(erasure::Column::State)
            .order_by_asc(erasure::Column::ConfirmTime)
            .limit(PIECE)
            .all(&everywhere)
            .await?;
        everywhere.rollback().await?;
        for row in rows {
            let tenant = TenantId::from_stored(row.tenant_id);
            // Another replica may have erased it.
            self.keyring().forget(&tenant);
            // One that fails must not keep the others: it is tried again the next time.
            if let Err(error) = self.finish_erasure(&tenant, None).await {
                tracing::warn!(%error, %tenant, "rows of an erased tenant could not be removed yet");
            }
        }
        if let Err(error) = self.rewrite_owed().await {
            tracing::warn!(%error, "the database's file could not be rewritten yet; remnants of erased tenants may be in it");
        }
        Ok(())
    }

    /// Removes a piece of one kind, and tells how much that was.
    async fn erase_tenant_piece(&self, tenant: &TenantId, step: Step) -> Result<u64, Error> {
        let mut change = self.own_change(tenant).await?;
        let erased = match step {
            Step::Connections => match erase_connections(&mut change).await? {
                Some(erased) => erased,
                None => {
                    change.commit_preparation().await?;
                    return Ok(PIECE);
                }
            },
            Step::Apps => erase_apps(&mut change).await?,
            Step::ServiceConfigs => erase_service_configs(&mut change).await?,
            Step::Rows(table) => {
                let sql =
                    format!("DELETE FROM {table} WHERE {}", piece(self.database(), table, "tenant_id = $1"));
                execute(&change.tx, &sql, [tenant.as_str().into()]).await?
            }
            Step::Payloads => {
                drop(change);
                return self.erase_payloads(tenant).await;
            }
            Step::PlatformEvents => {
                drop(change);
                return self.erase_platform_events(tenant).await;
            }
        };
        change.commit(erased).await.map(Recorded::into_inner)
    }

    async fn erase_platform_events(&self, tenant: &TenantId) -> Result<u64, Error> {
        let platform = TenantId::platform();
        let about = piece(self.database(), "event_deliveries", "tenant_id = $1 AND about_tenant = $2");
        let tx = self.begin_bookkeeping(&platform).await?;
        let sql = format!("DELETE FROM event_deliveries WHERE {about}");
        let erased = execute(&tx, &sql, [platform.as_str().into(), tenant.as_str().into()]).await?;
        tx.commit().await?;
        Ok(erased)
    }

    /// Ends an erasure if no row is left: the rows of the keys go, and the vault signs what was done.
    async fn end_erasure(&self, tenant: &TenantId) -> Result<(), Error> {
        let mut change = self.own_change(tenant).await?;
        if is_left(&change).await? {
            return Ok(());
        }
        // Read after the last row went, so it has the numbers of all of them.
        let row = erasure::Entity::find_by_id(tenant.as_str()).one(&change.tx).await?;
        let Some(row) = row.filter(|row| row.state == ErasureState::Erasing.as_str()) else { return Ok(()) };
        let keys = "DELETE FROM tenant_keys WHERE tenant_id = $1";
        execute(&change.tx, keys, [tenant.as_str().into()]).await?;
        owe_rewriting(self.database(), &change.tx).await?;
        change.record_change(ChangeSubject::Tenant, ChangeKind::Purged, None);
        change.commit(()).await?.into_inner();
        self.sign_erasure(tenant, row).await
    }

    async fn sign_erasure(&self, tenant: &TenantId, row: erasure::Model) -> Result<(), Error> {
        let signer = self.signer().await?;
        let mut change = self.own_change(tenant).await?;
        let days = self.settings().backup_retention_days;
        let text = statement(&erasure(row)?, change.now, signer.key_id(), days)?;
        let signature = signer.sign(ERASURE_STATEMENT, text.as_bytes());
        let signed = erasure::Entity::update_many()
            .col_expr(erasure::Column::State, Expr::value(ErasureState::Erased.as_str()))
            .col_expr(erasure::Column::FinishTime, Expr::value(change.now.micros()))
            .col_expr(erasure::Column::Statement, Expr::value(text))
            .col_expr(erasure::Column::Signature, Expr::value(signature.to_vec()))
            .col_expr(erasure::Column::SigningKey, Expr::value(signer.key_id()))
            .filter(erasure::Column::TenantId.eq(tenant.as_str()))
            .filter(erasure::Column::State.eq(ErasureState::Erasing.as_str()))
            .exec(&change.tx)
            .await?;
        // Another replica may have been first.
        if signed.rows_affected == 1 {
            let event = self.own_event(&TenantId::platform(), Action::EraseTenant)?;
            change.record_elsewhere(step_record(self, event, tenant, "erasure.finished")?);
            change.commit(()).await?.into_inner();
            tracing::info!(%tenant, "the tenant is erased");
        }
        Ok(())
    }
}

/// Removes a piece of the connections, with all that hangs on them; `None` if they stay for now, because a piece of the
/// webhooks that were seen at them went. Rows that another replica is removing are left to it.
async fn erase_connections(change: &mut Change<'_>) -> Result<Option<u64>, Error> {
    let tenant = change.tenant().clone();
    let rows = connection::Entity::find()
        .filter(connection::Column::TenantId.eq(tenant.as_str()))
        .order_by_asc(connection::Column::Id)
        .limit(PIECE)
        .select_only()
        .column(connection::Column::Id)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let ids: Vec<Uuid> = rows.into_tuple().all(&change.tx).await?;
    if ids.is_empty() {
        return Ok(Some(0));
    }
    if forget_webhooks(change.store.database(), &change.tx, &tenant, &ids).await? == PIECE {
        return Ok(None);
    }
    let connections: Vec<_> = ids.into_iter().map(ConnectionId::from_uuid).collect();
    purge(change, &connections).await.map(Some)
}

async fn erase_apps(change: &mut Change<'_>) -> Result<u64, Error> {
    use oauth_app::{Column, Entity};
    let tenant = change.tenant().as_str().to_owned();
    let rows = Entity::find().filter(Column::TenantId.eq(tenant.as_str())).limit(PIECE).lock_exclusive();
    let places: Vec<String> = rows.all(&change.tx).await?.into_iter().map(|row| row.provider).collect();
    if places.is_empty() {
        return Ok(0);
    }
    let these = Entity::delete_many()
        .filter(Column::TenantId.eq(tenant))
        .filter(Column::Provider.is_in(places.iter().map(String::as_str)));
    let erased = these.exec(&change.tx).await?.rows_affected;
    for place in places {
        let provider = AppPlace::from_stored(&place).provider().clone();
        change.record_change(ChangeSubject::App(provider), ChangeKind::Deleted, None);
    }
    Ok(erased)
}

async fn erase_service_configs(change: &mut Change<'_>) -> Result<u64, Error> {
    use service_config::{Column, Entity};
    let tenant = change.tenant().as_str().to_owned();
    let rows = Entity::find().filter(Column::TenantId.eq(tenant.as_str())).limit(PIECE).lock_exclusive();
    let ids: Vec<Uuid> = rows.all(&change.tx).await?.into_iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let these = Entity::delete_many()
        .filter(Column::TenantId.eq(tenant))
        .filter(Column::Id.is_in(ids.iter().copied()));
    let erased = these.exec(&change.tx).await?.rows_affected;
    for id in ids {
        change.record_change(ChangeSubject::ServiceConfig(id), ChangeKind::Deleted, None);
    }
    Ok(erased)
}

/// Whether a row is left that an erasure removes: one that was being written when the erasure was confirmed, or that another
/// replica is removing.
async fn is_left(change: &Change<'_>) -> Result<bool, Error> {
    let tables = STEPS.iter().filter_map(|step| match step {
        Step::Connections => Some("connections"),
        Step::Apps => Some("oauth_apps"),
        Step::ServiceConfigs => Some("service_configs"),
        Step::Rows(table) => Some(*table),
        Step::Payloads => Some("external_payloads"),
        Step::PlatformEvents => None,
    });
    let each = tables.map(|table| format!("EXISTS (SELECT 1 FROM {table} WHERE tenant_id = $1)"));
    let sql = format!("SELECT 1 AS one WHERE {}", each.collect::<Vec<_>>().join(" OR "));
    let values = [change.tenant().as_str().into()];
    let asked = Statement::from_sql_and_values(change.tx.get_database_backend(), sql, values);
    Ok(change.tx.query_one_raw(asked).await?.is_some())
}
