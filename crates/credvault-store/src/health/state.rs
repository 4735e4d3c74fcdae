//! The health of a connection in one word: as a function of what is stored, as a condition on rows, and as an expression that
//! rows are grouped by. All three must agree.

use credvault_domain::{
    Connection, ConnectionState, HealthState, PASSING_PAUSES, ProviderId, Reason, TenantId, Timestamp,
};
use sea_orm::sea_query::{ExprTrait as _, Query, SelectStatement, UnionType};
use sea_orm::{ColumnTrait as _, Condition, Value};

use crate::entity::connection::Column;
use crate::entity::{connection, connection_health};
use crate::health::read::HealthRecord;

/// Which connections are wanted, by their health.
#[derive(Clone, Debug)]
pub struct HealthFilter {
    /// The health that they have.
    pub state: HealthState,
    /// The providers that have an incident at the moment.
    pub incidents: Vec<ProviderId>,
}

/// The reason that a connection shows while the outcome of its last refresh is not known.
fn unknown() -> &'static str {
    Reason::ProviderUnavailable.as_str()
}

impl HealthRecord {
    /// How a connection is at `now`, in one word.
    pub fn state(&self, connection: &Connection, has_incident: bool, now: Timestamp) -> HealthState {
        let over = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
        if connection.current_version == 0 {
            return HealthState::NotConnected;
        }
        if let Some(error) = &connection.error {
            return match (error.reason == unknown(), has_incident) {
                (true, true) => HealthState::ProviderIncident,
                (true, false) => HealthState::Uncertain,
                (false, _) => HealthState::Error,
            };
        }
        match (self.grant, self.last_error.as_ref().filter(|error| error.stops_fetches(now))) {
            (Some(grant), _) if over(grant.end) => HealthState::Ended,
            (_, Some(error)) if !error.passes() => HealthState::Error,
            _ if has_incident => HealthState::ProviderIncident,
            (_, Some(_)) => HealthState::Uncertain,
            (Some(grant), None) if over(grant.ending) => HealthState::Ending,
            (Some(_) | None, None) => HealthState::Ok,
        }
    }
}

impl HealthFilter {
    /// The condition on rows of `connections`.
    pub(crate) fn condition(&self, tenant: &TenantId, now: Timestamp) -> Condition {
        use connection_health::Column as Health;
        let failed = || Column::State.eq(ConnectionState::Error.as_str());
        let works = || Column::State.ne(ConnectionState::Error.as_str());
        let doubtful = || failed().and(Column::ErrorReason.eq(unknown()));
        let credential = Condition::all().add(Column::CurrentVersion.gt(0));
        let incident = || Column::Provider.is_in(self.incidents.iter().map(ProviderId::as_str));
        let calm = || Column::Provider.is_not_in(self.incidents.iter().map(ProviderId::as_str));
        let ended = || those(tenant, Condition::all().add(Health::GrantEndTime.lte(now.micros())));
        let ending = || those(tenant, Condition::all().add(Health::EndingTime.lte(now.micros())));
        let (is_ended, not_ended) = (Column::Id.in_subquery(ended()), Column::Id.not_in_subquery(ended()));
        let up = || Column::Id.not_in_subquery(down(tenant, now, None));
        let among = |lasts| Column::Id.in_subquery(failing(tenant, now, lasts));
        match self.state {
            HealthState::NotConnected => Condition::all().add(Column::CurrentVersion.eq(0)),
            HealthState::Ok => {
                credential.add(works()).add(calm()).add(Column::Id.not_in_subquery(ending())).add(up())
            }
            HealthState::Ending => {
                let is_ending = Column::Id.in_subquery(ending());
                credential.add(works()).add(calm()).add(is_ending).add(not_ended).add(up())
            }
            HealthState::Ended => credential.add(works()).add(is_ended),
            HealthState::Error => {
                let shown = failed().and(Column::ErrorReason.ne(unknown()));
                let fails = Condition::any().add(shown).add(works().and(not_ended));
                credential.add(among(Lasts::UntilHelped)).add(fails)
            }
            HealthState::Uncertain => {
                let fails = Condition::any().add(doubtful()).add(works().and(not_ended));
                credential.add(calm()).add(among(Lasts::ByItself)).add(fails)
            }
            HealthState::ProviderIncident => {
                let lasts = down(tenant, now, Some(Lasts::UntilHelped));
                let waits = works().and(not_ended).and(Column::Id.not_in_subquery(lasts));
                credential.add(incident()).add(Condition::any().add(doubtful()).add(waits))
            }
        }
    }
}

/// How long fetches are refused because a refresh fails.
#[derive(Clone, Copy)]
enum Lasts {
    /// Until an attempt succeeds, which needs no help.
    ByItself,
    /// Until the owner or the platform has acted.
    UntilHelped,
}

/// The ids of a tenant's connections whose access token has ended while the vault tries to get another one.
fn down(tenant: &TenantId, now: Timestamp, lasts: Option<Lasts>) -> SelectStatement {
    use connection_health::Column as Health;
    let why = lasts.map(|lasts| match lasts {
        Lasts::ByItself => Condition::all().add(Health::ErrorPause.is_in(PASSING_PAUSES)),
        Lasts::UntilHelped => Condition::any()
            .add(Health::ErrorPause.is_null())
            .add(Health::ErrorPause.is_not_in(PASSING_PAUSES)),
    });
    let is_down = Condition::all()
        .add(Health::DownTime.lte(now.micros()))
        .add(Health::RetryTime.is_not_null())
        .add_option(why);
    those(tenant, is_down)
}

/// The same, and the ids of those that show an error: found by two indexes, where one condition on both tables would read every
/// connection of the tenant.
fn failing(tenant: &TenantId, now: Timestamp, lasts: Lasts) -> SelectStatement {
    let shown = Query::select()
        .column(Column::Id)
        .from(connection::Entity)
        .and_where(Column::TenantId.eq(tenant.as_str()))
        .and_where(Column::State.eq(ConnectionState::Error.as_str()))
        .to_owned();
    down(tenant, now, Some(lasts)).union(UnionType::All, shown).to_owned()
}

/// The health of a row of `connections` as `c`, joined with its row of `connection_health` as `h`, in SQL: the number of the
/// state in [`HealthState::ALL`]. Adds what it compares with to the values of the statement.
pub(crate) fn numbered_health(now: Timestamp, incidents: &[ProviderId], values: &mut Vec<Value>) -> String {
    let mut place = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    let (unknown, now) = (place(unknown().into()), place(now.micros().into()));
    let providers: Vec<String> = incidents.iter().map(|one| place(one.as_str().into())).collect();
    // A list of values must not be empty in SQL.
    let incident = match providers.is_empty() {
        true => "1 = 0".to_owned(),
        false => format!("c.provider IN ({})", providers.join(", ")),
    };
    let failed = format!("c.state = '{}'", ConnectionState::Error.as_str());
    let down = format!("h.down_time <= {now} AND h.retry_time IS NOT NULL");
    let lasts = format!("COALESCE(h.error_pause, '') NOT IN ('{}')", PASSING_PAUSES.join("', '"));
    let cases = [
        ("c.current_version = 0".to_owned(), HealthState::NotConnected),
        (format!("{failed} AND c.error_reason <> {unknown}"), HealthState::Error),
        (format!("{failed} AND {incident}"), HealthState::ProviderIncident),
        (failed, HealthState::Uncertain),
        (format!("h.grant_end_time <= {now}"), HealthState::Ended),
        (format!("{down} AND {lasts}"), HealthState::Error),
        (incident, HealthState::ProviderIncident),
        (down, HealthState::Uncertain),
        (format!("h.ending_time <= {now}"), HealthState::Ending),
    ];
    let when =
        |(condition, state): &(String, HealthState)| format!(" WHEN {condition} THEN {}", number(*state));
    let cases: String = cases.iter().map(when).collect();
    format!("CASE{cases} ELSE {} END", number(HealthState::Ok))
}

/// The number that [`numbered_health`] gives a state.
fn number(state: HealthState) -> usize {
    HealthState::ALL.iter().position(|each| *each == state).unwrap_or(HealthState::ALL.len())
}

/// The state of a number that [`numbered_health`] has given.
pub(crate) fn health_number(number: i64) -> Option<HealthState> {
    HealthState::ALL.get(usize::try_from(number).ok()?).copied()
}

/// The ids of a tenant's connections whose health meets a condition.
pub(crate) fn those(tenant: &TenantId, condition: Condition) -> SelectStatement {
    use connection_health::Column as Health;
    Query::select()
        .column(Health::ConnectionId)
        .from(connection_health::Entity)
        .and_where(Health::TenantId.eq(tenant.as_str()))
        .cond_where(condition)
        .to_owned()
}
