//! The one writer of rows of `connections`: what it saves moves revision and update time together and has its row in the
//! change feed. An error that appears or ends is remembered beside it. Only instants that no etag speaks of are written elsewhere (when a connection was last used, when it is
//! tested next).

use credvault_domain::{ConnectionId, ConnectionState, Reason, StateChange, Timestamp, Version};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::json;

use crate::Error;
use crate::change::Change;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::entity::connection::{ActiveModel, Column, Entity, Model};
use crate::error::violates;
use crate::health::last_error::{Failure, recover, remember};
use crate::secrets::payloads::tend_all_later;

/// A row of `connections` that its transaction has locked, with what is to change in it.
pub(crate) struct ConnectionRow {
    before: Model,
    /// Columns that are to change. State and error have methods of their own.
    pub(crate) columns: ActiveModel,
}

impl ConnectionRow {
    /// Begins to change a locked row.
    pub(crate) fn new(model: Model) -> Self {
        Self { before: model.clone(), columns: model.into_active_model() }
    }

    /// Moves the state as the state machine says.
    ///
    /// # Errors
    /// The state machine refuses.
    pub(crate) fn transition(&mut self, change: StateChange) -> Result<(), Error> {
        let state = ConnectionState::from_stored(&self.before.state).ok_or(Error::Integrity)?;
        self.columns.state = Set(state.after(change)?.as_str().to_owned());
        Ok(())
    }

    /// Sets the state where the state machine has no say: tokens that only the vault has are stored in any state.
    pub(crate) fn set_state(&mut self, state: ConnectionState) {
        self.columns.state = Set(state.as_str().to_owned());
    }

    /// Sets why the connection does not work. An error of the same reason keeps the time when it began.
    pub(crate) fn fail(&mut self, reason: Reason, code: Option<&str>, change: &Change<'_>) {
        let since = self.before.error_time.filter(|_| self.has_failed_with(reason));
        self.columns.error_reason = Set(Some(reason.as_str().to_owned()));
        self.columns.error_code = Set(code.map(str::to_owned));
        self.columns.error_time = Set(Some(since.unwrap_or(change.now.micros())));
    }

    /// Whether the stored row shows this reason.
    pub(crate) fn has_failed_with(&self, reason: Reason) -> bool {
        self.before.error_reason.as_deref() == Some(reason.as_str())
    }

    /// Clears the error's reason, code and time.
    pub(crate) fn recover(&mut self) {
        self.columns.error_reason = Set(None);
        self.columns.error_code = Set(None);
        self.columns.error_time = Set(None);
    }

    /// Clears what the provider has confirmed of the account, for the credential is another one.
    pub(crate) fn forget_confirmations(&mut self) {
        self.columns.confirmed_account_id = Set(None);
        self.columns.confirmed_settings = Set(json!({}));
    }

    /// Whether anything but instants is to change.
    pub(crate) fn is_changed(&self) -> bool {
        let (before, columns) = (&self.before, &self.columns);
        *columns.state.as_ref() != before.state
            || *columns.error_reason.as_ref() != before.error_reason
            || *columns.error_code.as_ref() != before.error_code
            || *columns.config.as_ref() != before.config
            || *columns.scopes_granted.as_ref() != before.scopes_granted
    }

    /// Saves the row with its next revision.
    ///
    /// # Errors
    /// Its name or the place of the default is taken, or the database fails.
    pub(crate) async fn save(
        mut self,
        change: &mut Change<'_>,
        kind: ChangeKind,
        version: Option<Version>,
    ) -> Result<Model, Error> {
        self.columns.revision = Set(self.before.revision + 1);
        self.columns.update_time = Set(change.now.micros());
        self.save_same_revision(change, kind, version).await
    }

    /// Saves the row without another revision, for a change that its etag does not speak of: new tokens.
    ///
    /// # Errors
    /// As for [`ConnectionRow::save`].
    pub(crate) async fn save_same_revision(
        self,
        change: &mut Change<'_>,
        kind: ChangeKind,
        version: Option<Version>,
    ) -> Result<Model, Error> {
        let before = (self.before.error_reason, self.before.error_code);
        let model = self.columns.update(&change.tx).await.map_err(taken)?;
        match &model.error_reason {
            Some(reason) if before != (model.error_reason.clone(), model.error_code.clone()) => {
                let failure = Failure::shown(reason, model.error_code.as_deref(), None);
                remember(change, &model, failure).await?;
            }
            None if before.0.is_some() => recover(change, &model).await?,
            Some(_) | None => {}
        }
        record(change, &model, kind, version);
        Ok(model)
    }
}

/// Inserts a new row.
///
/// # Errors
/// As for [`ConnectionRow::save`].
pub(crate) async fn insert(change: &mut Change<'_>, row: ActiveModel) -> Result<Model, Error> {
    let model = row.insert(&change.tx).await.map_err(taken)?;
    record(change, &model, ChangeKind::Created, None);
    Ok(model)
}

/// Inserts new rows that have their first credential already, where `stored` says so.
///
/// # Errors
/// [`Error::Conflict`] if another transaction has taken a name or the place of a default since they were looked up.
pub(crate) async fn insert_all(change: &mut Change<'_>, rows: &[Model]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = rows.iter().map(|row| row.clone().into_active_model().reset_all());
    Entity::insert_many(columns).exec_without_returning(&change.tx).await.map_err(|error| {
        let error = taken(error);
        if matches!(error, Error::ConnectionExists) { Error::Conflict } else { error }
    })?;
    for row in rows {
        record(change, row, ChangeKind::Created, None);
        if row.current_version > 0 {
            record(change, row, ChangeKind::CredentialStored, Some(row.current_version));
        }
    }
    Ok(())
}

/// Deletes locked rows so that they can be purged at once and cannot be undeleted. What their owner has created after `until`
/// stays, and inherits the default.
///
/// # Errors
/// The database fails.
pub(crate) async fn delete_for_good(
    change: &mut Change<'_>,
    rows: &[Model],
    until: Timestamp,
) -> Result<(), Error> {
    let now = change.now.micros();
    let these = Condition::all()
        .add(Column::TenantId.eq(change.tenant().as_str()))
        .add(Column::Id.is_in(rows.iter().map(|row| row.id)));
    Entity::update_many()
        .col_expr(Column::DeleteTime, Expr::col(Column::DeleteTime).if_null(now))
        .col_expr(Column::PurgeTime, Expr::value(now))
        .col_expr(Column::IsDefault, Expr::value(false))
        .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
        .col_expr(Column::UpdateTime, Expr::value(now))
        .filter(these)
        .exec(&change.tx)
        .await?;
    for row in rows {
        let was_served = row.delete_time.is_none();
        record(change, row, if was_served { ChangeKind::Deleted } else { ChangeKind::Updated }, None);
        if row.is_default {
            let heirs = Condition::all()
                .add(Column::TenantId.eq(row.tenant_id.as_str()))
                .add(Column::OwnerUser.eq(row.owner_user.as_str()))
                .add(Column::Provider.eq(row.provider.as_str()))
                .add(Column::CreateTime.gt(until.micros()))
                .add(Column::DeleteTime.is_null());
            pass_default_on(change, heirs).await?;
        }
    }
    Ok(())
}

/// Makes the oldest of these connections their owner's default, if there is one.
///
/// # Errors
/// The database fails.
pub(crate) async fn pass_default_on(change: &mut Change<'_>, heirs: Condition) -> Result<(), Error> {
    let heir = Entity::find().filter(heirs).order_by_asc(Column::Id).lock_exclusive();
    if let Some(heir) = heir.one(&change.tx).await? {
        let mut row = ConnectionRow::new(heir);
        row.columns.is_default = Set(true);
        row.save(change, ChangeKind::Updated, None).await?;
    }
    Ok(())
}

/// Removes deleted rows with their credentials, and tells how many those were.
///
/// # Errors
/// The database fails.
pub(crate) async fn purge(change: &mut Change<'_>, ids: &[ConnectionId]) -> Result<u64, Error> {
    let purged = Entity::delete_many()
        .filter(Column::TenantId.eq(change.tenant().as_str()))
        .filter(Column::Id.is_in(ids.iter().map(|id| id.as_uuid())))
        .exec(&change.tx)
        .await?;
    tend_all_later(change, ids).await?;
    for id in ids {
        change.record_change(ChangeSubject::Connection(*id), ChangeKind::Purged, None);
    }
    Ok(purged.rows_affected)
}

fn record(change: &mut Change<'_>, model: &Model, kind: ChangeKind, version: Option<Version>) {
    let subject = ChangeSubject::Connection(ConnectionId::from_uuid(model.id));
    change.record_change(subject, kind, version);
}

/// A unique index decides who gets a name; another one, that there is one default.
fn taken(error: DbErr) -> Error {
    if violates(&error, "connections_account", "connections.account_name") {
        Error::ConnectionExists
    } else if violates(&error, "connections_default", "connections.provider") {
        Error::Conflict
    } else {
        error.into()
    }
}
