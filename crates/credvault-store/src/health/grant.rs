//! When the grant of a connection ends, kept with every credential and every refresh.

use credvault_domain::{Grant, GrantLife, Renewal, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement};

use crate::Error;
use crate::change::Change;
use crate::entity::connection;
use crate::entity::connection_health::{ActiveModel, Entity, Model};

/// The life of the grant that a row tells of; `None` if there is no credential.
pub(super) fn life(row: &Model) -> Result<Option<GrantLife>, Error> {
    let Some(renewal) = &row.renewal else { return Ok(None) };
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(Some(GrantLife {
        renewal: Renewal::from_stored(renewal).ok_or(Error::Integrity)?,
        begun: time(row.begin_time).ok_or(Error::Integrity)?,
        renewed: time(row.renew_time).ok_or(Error::Integrity)?,
        consent_end: time(row.consent_end_time),
        named_end: time(row.named_end_time),
    }))
}

/// A grant begins with a credential that was stored just now, or before at its consent. Earlier errors are over.
///
/// # Errors
/// The database fails.
pub(crate) async fn begin(
    change: &Change<'_>,
    model: &connection::Model,
    grant: Grant,
    consent: Option<Timestamp>,
) -> Result<(), Error> {
    let life = begun(change, grant, consent);
    // A new key without an end needs no row: nothing has gone wrong, and there is nothing to say.
    if model.last_version == 1 && life.class() == Renewal::NeverEnds {
        return Ok(());
    }
    write(change, model, &life, life.next_warning(change.now)).await
}

/// The row of a grant that begins with the first credential of a new connection, if [`begin`] would write one: for changes
/// that insert many connections at once.
pub(crate) fn first(
    change: &Change<'_>,
    model: &connection::Model,
    grant: Grant,
    consent: Option<Timestamp>,
) -> Option<ActiveModel> {
    let life = begun(change, grant, consent);
    if life.class() == Renewal::NeverEnds {
        return None;
    }
    let micros = |time: Option<Timestamp>| Set(time.map(Timestamp::micros));
    Some(ActiveModel {
        tenant_id: Set(model.tenant_id.clone()),
        connection_id: Set(model.id),
        renewal: Set(Some(life.renewal.as_str().to_owned())),
        begin_time: micros(Some(life.begun)),
        renew_time: micros(Some(life.renewed)),
        consent_end_time: micros(life.consent_end),
        named_end_time: micros(life.named_end),
        grant_end_time: micros(life.end()),
        ending_time: micros(life.ending()),
        warn_time: micros(life.next_warning(change.now)),
        ..ActiveModel::default()
    })
}

/// The life of a grant that is stored now. What a consent limits counts from the consent; its tokens are as new as the vault
/// knows.
fn begun(change: &Change<'_>, grant: Grant, consent: Option<Timestamp>) -> GrantLife {
    let consent = consent.map_or(change.now, |consent| consent.min(change.now));
    GrantLife { renewed: change.now, ..GrantLife::begun(grant, consent) }
}

/// A refresh has given new tokens. Earlier errors are over. The answer is whether it has renewed a grant of whose end the
/// owner had been warned.
///
/// # Errors
/// The database fails.
pub(crate) async fn renew(
    change: &Change<'_>,
    model: &connection::Model,
    grant: Grant,
) -> Result<bool, Error> {
    let row = Entity::find_by_id((model.tenant_id.clone(), model.id)).one(&change.tx).await?;
    let before = row.as_ref().map(life).transpose()?.flatten();
    let Some((row, before)) = row.zip(before) else {
        // An earlier release stored it, so when the consent began is not known.
        let life = GrantLife::begun(Grant { lifetime: None, ..grant }, change.now);
        return write(change, model, &life, life.next_warning(change.now)).await.map(|()| false);
    };
    let life = before.after_refresh(grant, change.now);
    let same_end = (life.class(), life.end()) == (before.class(), before.end());
    let has_failed = row.error_time.is_some() && row.recover_time.is_none();
    if same_end && life.end().is_none() && !has_failed {
        return Ok(false);
    }
    let (now, next) = (change.now, row.warn_time.map(Timestamp::from_micros));
    let calmed = before.has_warned(next, now) && life.end().is_none_or(|end| end > now);
    let renewed = calmed && !same_end && life.due_warning(now).is_none();
    // A warning that is due and not yet sent stays due.
    let warning = if same_end { next } else { life.next_warning(now) };
    write(change, model, &life, warning).await.map(|()| renewed)
}

/// The credential that was stored at `stored` may end at `end`, which nothing said before: its owner is warned now.
///
/// # Errors
/// The database fails.
pub(crate) async fn cut_short(
    change: &Change<'_>,
    model: &connection::Model,
    end: Timestamp,
    stored: Timestamp,
) -> Result<(), Error> {
    let life = begun(change, Grant::fixed(Some(end)), Some(stored));
    write(change, model, &life, Some(change.now)).await
}

/// The provider accepts a credential without an end after it was warned of one, see [`cut_short`]: there was none.
///
/// # Errors
/// The database fails.
pub(crate) async fn outlived(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    let row = Entity::find_by_id((model.tenant_id.clone(), model.id)).one(&change.tx).await?;
    let Some(before) = row.as_ref().map(life).transpose()?.flatten() else { return Ok(()) };
    let is_over = before.end().is_some_and(|end| end <= change.now);
    if !is_over || before.consent_end.is_some() || model.expire_time.is_some() {
        return Ok(());
    }
    let life = begun(change, Grant::fixed(None), Some(before.begun));
    write(change, model, &life, None).await
}

/// The credential is gone, and its grant with it. What went wrong last stays.
///
/// # Errors
/// The database fails.
pub(crate) async fn end(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    let sql = "UPDATE connection_health SET renewal = NULL, begin_time = NULL, renew_time = NULL,
            consent_end_time = NULL, named_end_time = NULL, grant_end_time = NULL, ending_time = NULL,
            warn_time = NULL, retry_time = NULL, down_time = NULL
        WHERE tenant_id = $1 AND connection_id = $2";
    let values = [model.tenant_id.as_str().into(), model.id.into()];
    let backend = change.tx.get_database_backend();
    change.tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}

async fn write(
    change: &Change<'_>,
    model: &connection::Model,
    life: &GrantLife,
    warning: Option<Timestamp>,
) -> Result<(), Error> {
    let sql = "INSERT INTO connection_health (tenant_id, connection_id, renewal, begin_time, renew_time,
            consent_end_time, named_end_time, grant_end_time, ending_time, warn_time)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (tenant_id, connection_id) DO UPDATE SET renewal = excluded.renewal,
            begin_time = excluded.begin_time, renew_time = excluded.renew_time,
            consent_end_time = excluded.consent_end_time, named_end_time = excluded.named_end_time,
            grant_end_time = excluded.grant_end_time, ending_time = excluded.ending_time,
            warn_time = excluded.warn_time, retry_time = NULL, down_time = NULL,
            recover_time = CASE WHEN connection_health.error_time IS NOT NULL
                THEN COALESCE(connection_health.recover_time, $11) END";
    let micros = |time: Option<Timestamp>| time.map(Timestamp::micros);
    let values = [
        model.tenant_id.as_str().into(),
        model.id.into(),
        life.renewal.as_str().into(),
        life.begun.micros().into(),
        life.renewed.micros().into(),
        micros(life.consent_end).into(),
        micros(life.named_end).into(),
        micros(life.end()).into(),
        micros(life.ending()).into(),
        micros(warning).into(),
        change.now.micros().into(),
    ];
    let backend = change.tx.get_database_backend();
    change.tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}
