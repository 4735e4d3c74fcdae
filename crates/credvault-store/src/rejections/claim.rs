//! Who asks the provider about a credential that was reported: one process, which claims that before it asks and writes down
//! what came of it. A claim is taken over as soon as its process is provably gone, for asking twice harms nothing here.

use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::{Finding, GivenOut, Rejections, Reporter, Standing};
use crate::connections::lock::locked_at;
use crate::database::liveness::is_lock_free;
use crate::entity::rejection::{ActiveModel, Column, Entity, Model};
use crate::entity::{connection, refresh};
use crate::{ConnectionKey, Database, Error};
use credvault_domain::Reason;

/// How long a claim holds at most, whatever its process does: longer than a refresh and a test may take.
const LEASE: Duration = Duration::from_secs(120);
/// How long after a pause a report counts as one in a row.
const QUIET_TIME: Duration = Duration::from_secs(3600);

/// What became of an attempt to claim the question to the provider.
#[derive(Debug)]
pub enum Inquiry {
    /// It is ours: ask the provider now.
    Ours(ClaimedInquiry),
    /// Another process asks at the moment, or this one cannot prove that it lives.
    Busy,
    /// It does not have to be asked.
    Standing(Standing),
    /// Another credential is current by now, or the connection is not served any more: read again.
    Changed,
}

/// The question to the provider that this process has claimed.
#[derive(Debug)]
pub struct ClaimedInquiry {
    key: ConnectionKey,
    given_out: GivenOut,
    process: Uuid,
    /// How many calls reports of this reporter about the connection have caused in a row, this one included.
    pub calls: u32,
}

impl Rejections<'_> {
    /// Claims the question about a credential that is reported.
    ///
    /// # Errors
    /// The database fails.
    pub async fn claim(
        &self,
        key: &ConnectionKey,
        given_out: GivenOut,
        reporter: &Reporter,
    ) -> Result<Inquiry, Error> {
        let store = self.store;
        let Some(process) = store.liveness().process_id() else { return Ok(Inquiry::Busy) };
        let tx = store.begin_bookkeeping(key.tenant()).await?;
        let Some(connection) = locked_at(&tx, key).await? else { return Ok(Inquiry::Changed) };
        if !is_current(&tx, key, &connection, given_out).await? {
            return Ok(Inquiry::Changed);
        }
        let row = Entity::find_by_id(key.row_id()).one(&tx).await?;
        let lease_now = store.database_time(&tx).await?;
        let now = store.now();
        let mut calls = 1;
        if let Some(row) = &row {
            let asks_consent =
                connection.error_reason.as_deref() == Some(Reason::ReauthorizationRequired.as_str());
            match Standing::of(row, given_out, reporter, asks_consent, now) {
                Standing::Open => {}
                standing @ (Standing::Found { .. } | Standing::Early { .. }) => {
                    return Ok(Inquiry::Standing(standing));
                }
            }
            let same = (row.version, row.generation) == given_out;
            if same && self.is_asked(&tx, row, process, lease_now).await? {
                return Ok(Inquiry::Busy);
            }
            let quiet = micros(QUIET_TIME).saturating_add(row.next_time);
            if row.version == given_out.0 && row.service == reporter.stored() && quiet > now.micros() {
                calls = row.calls.saturating_add(1);
            }
        }
        let lease = lease_now.saturating_add(micros(LEASE));
        write_claim(&tx, key, given_out, (process, lease), (reporter, calls, now.micros())).await?;
        tx.commit().await?;
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        Ok(Inquiry::Ours(ClaimedInquiry { key: key.clone(), given_out, process, calls }))
    }

    /// Writes down what came of the question, and that reports cause no other one for so long. Does nothing if another process
    /// has taken the claim over, or another credential was reported since.
    ///
    /// # Errors
    /// The database fails. The claim then holds until this process asks again, or is gone.
    pub async fn end(
        &self,
        claimed: &ClaimedInquiry,
        finding: Finding,
        pause: Duration,
    ) -> Result<(), Error> {
        self.write_end(claimed, finding, pause, claimed.calls).await
    }

    async fn write_end(
        &self,
        claimed: &ClaimedInquiry,
        finding: Finding,
        pause: Duration,
        calls: u32,
    ) -> Result<(), Error> {
        let ClaimedInquiry { key, given_out: (version, generation), process, .. } = claimed;
        let now = self.store.now();
        let tx = self.store.begin_bookkeeping(key.tenant()).await?;
        Entity::update_many()
            .col_expr(Column::Finding, Expr::value(finding.as_str()))
            .col_expr(Column::ProcessId, Expr::value(Option::<Uuid>::None))
            .col_expr(Column::LeaseTime, Expr::value(Option::<i64>::None))
            .col_expr(Column::Time, Expr::value(now.micros()))
            .col_expr(Column::NextTime, Expr::value(now.after(pause).micros()))
            .col_expr(Column::Calls, Expr::value(i64::from(calls)))
            .filter(Column::TenantId.eq(key.tenant().as_str()))
            .filter(Column::ConnectionId.eq(key.connection().as_uuid()))
            .filter(Column::Version.eq(*version))
            .filter(Column::Generation.eq(*generation))
            .filter(Column::ProcessId.eq(*process))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Gives a claim back of which nothing came, for nothing was asked.
    ///
    /// # Errors
    /// As for [`Rejections::end`].
    pub async fn release(&self, claimed: &ClaimedInquiry) -> Result<(), Error> {
        self.write_end(claimed, Finding::Unknown, Duration::ZERO, claimed.calls.saturating_sub(1)).await
    }

    /// Whether a process that lives is asking at the moment. A claim of this very process was left behind by an error, for it
    /// asks about one credential once at a time.
    async fn is_asked(
        &self,
        tx: &DatabaseTransaction,
        row: &Model,
        ours: Uuid,
        now: i64,
    ) -> Result<bool, Error> {
        let Some(owner) = row.process_id else { return Ok(false) };
        if owner == ours
            || self.store.database() == Database::Sqlite
            || row.lease_time.is_none_or(|lease| lease <= now)
        {
            return Ok(false);
        }
        Ok(!is_lock_free(tx, owner).await?)
    }
}

/// Writes the row of a claim, over what was there.
async fn write_claim(
    tx: &DatabaseTransaction,
    key: &ConnectionKey,
    given_out: GivenOut,
    (process, lease): (Uuid, i64),
    (reporter, calls, now): (&Reporter, i64, i64),
) -> Result<(), Error> {
    let claimed = ActiveModel {
        tenant_id: Set(key.tenant().as_str().to_owned()),
        connection_id: Set(key.connection().as_uuid()),
        version: Set(given_out.0),
        generation: Set(given_out.1),
        finding: Set(None),
        process_id: Set(Some(process)),
        lease_time: Set(Some(lease)),
        time: Set(now),
        next_time: Set(now),
        service: Set(reporter.stored()),
        calls: Set(calls),
    };
    let replaced = OnConflict::columns([Column::TenantId, Column::ConnectionId])
        .update_columns([
            Column::Version,
            Column::Generation,
            Column::Finding,
            Column::ProcessId,
            Column::LeaseTime,
            Column::Time,
            Column::NextTime,
            Column::Service,
            Column::Calls,
        ])
        .to_owned();
    Entity::insert(claimed).on_conflict(replaced).exec_without_returning(tx).await?;
    Ok(())
}

/// Whether what was given out is what a fetch would find now.
async fn is_current(
    tx: &DatabaseTransaction,
    key: &ConnectionKey,
    connection: &connection::Model,
    (version, generation): GivenOut,
) -> Result<bool, Error> {
    if connection.delete_time.is_some() || !connection.enabled || connection.current_version != version {
        return Ok(false);
    }
    let refresh = refresh::Entity::find_by_id(key.row_id()).one(tx).await?;
    Ok(refresh.map_or(0, |refresh| refresh.generation) == generation)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
