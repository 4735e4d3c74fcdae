//! Who still depends on the platform's shared credentials. A fetch writes none of these rows: each process counts in
//! memory, and adds what it has counted once a minute, so there is no row that every fetch updates.

use credvault_domain::{ProviderId, ServiceId, TenantId, TenantScope, Timestamp, UserId};
use futures::StreamExt as _;
use sea_orm::{ConnectionTrait, QueryResult, Statement, StreamTrait as _};

use crate::database::pieces::execute;
use crate::database::transaction::across_tenants;
use crate::page::text_position;
use crate::{Error, Listed, Page, Store};

/// Separates the parts of a position; no id has it.
const SEPARATOR: char = '\u{1f}';

/// Who fetched, and of which provider.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dependant {
    /// The tenant that has none of its own.
    pub tenant: TenantId,
    /// The provider, by its id.
    pub provider: ProviderId,
    /// The user of the tenant, if the fetch was for one.
    pub user: Option<UserId>,
    /// The service that fetched.
    pub service: ServiceId,
}

/// How often it was served the platform's credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uses {
    /// The number of fetches.
    pub fetches: i64,
    /// When the first one was.
    pub first_time: Timestamp,
    /// When the last one was.
    pub last_time: Timestamp,
}

/// The repository of these counts.
#[derive(Clone, Copy, Debug)]
pub struct Dependants<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of who depends on the platform's shared credentials.
    pub fn dependants(&self) -> Dependants<'_> {
        Dependants { store: self }
    }
}

impl Dependants<'_> {
    /// Adds counts of one tenant, in one transaction. In the order of their keys, so that two processes do not wait for each
    /// other.
    ///
    /// # Errors
    /// The database fails.
    pub async fn add(&self, tenant: &TenantId, counted: &[(Dependant, Uses)]) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO platform_dependants
                (tenant_id, provider, user_id, service, fetches, first_time, last_time)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (tenant_id, provider, user_id, service) DO UPDATE SET
                fetches = platform_dependants.fetches + excluded.fetches,
                last_time = CASE WHEN excluded.last_time > platform_dependants.last_time
                    THEN excluded.last_time ELSE platform_dependants.last_time END";
        let mut counted: Vec<_> = counted.iter().collect();
        counted.sort_by(|(one, _), (other, _)| one.cmp(other));
        let tx = self.store.begin_bookkeeping(tenant).await?;
        for (dependant, uses) in counted {
            let Dependant { tenant: _, provider, user, service } = dependant;
            let values = [
                tenant.as_str().into(),
                provider.as_str().into(),
                user.as_ref().map_or("", UserId::as_str).into(),
                service.as_str().into(),
                uses.fetches.into(),
                uses.first_time.micros().into(),
                uses.last_time.micros().into(),
            ];
            execute(&tx, SQL, values).await?;
        }
        Ok(tx.commit().await?)
    }

    /// A page of all tenants' counts, ordered by tenant, provider, user and service. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// The page token is wrong, or the database fails.
    pub async fn list(
        &self,
        platform: &TenantScope,
        provider: Option<&ProviderId>,
        page: &Page,
    ) -> Result<Listed<(Dependant, Uses)>, Error> {
        const SQL: &str = "SELECT tenant_id, provider, user_id, service, fetches, first_time, last_time
            FROM platform_dependants
            WHERE (tenant_id, provider, user_id, service) > ($1, $2, $3, $4) AND ($5 = '' OR provider = $5)
            ORDER BY tenant_id, provider, user_id, service LIMIT $6";
        let reading = self.store.query(platform).await?;
        let after = text_position(page.position(platform.tenant(), &reading)?)?.unwrap_or_default();
        let mut after = after.split(SEPARATOR);
        let mut part = || after.next().unwrap_or_default().into();
        let values = [
            part(),
            part(),
            part(),
            part(),
            provider.map_or("", ProviderId::as_str).into(),
            i64::try_from(page.limit()).unwrap_or(i64::MAX).into(),
        ];
        across_tenants(&reading.tx, self.store.database()).await?;
        let backend = ConnectionTrait::get_database_backend(&reading.tx);
        let query = Statement::from_sql_and_values(backend, SQL, values);
        let rows = reading.tx.stream_raw(query).await?.map(|row| dependant(&row?));
        let position = |(last, _): &(Dependant, Uses)| {
            let user = last.user.as_ref().map_or("", UserId::as_str);
            let parts = [last.tenant.as_str(), last.provider.as_str(), user, last.service.as_str()];
            parts.join(&SEPARATOR.to_string()).into_bytes()
        };
        page.read(self.store, platform.tenant(), reading.key(), rows, position).await
    }
}

fn dependant(row: &QueryResult) -> Result<(Dependant, Uses), Error> {
    let text = |column| row.try_get::<String>("", column);
    let time = |column| row.try_get::<i64>("", column).map(Timestamp::from_micros);
    let user = Some(text("user_id")?).filter(|user| !user.is_empty());
    let dependant = Dependant {
        tenant: TenantId::from_stored(text("tenant_id")?),
        provider: ProviderId::from_stored(text("provider")?),
        user: user.map(UserId::from_stored),
        service: ServiceId::parse(&text("service")?).map_err(|_| Error::Integrity)?,
    };
    let fetches = row.try_get("", "fetches")?;
    Ok((dependant, Uses { fetches, first_time: time("first_time")?, last_time: time("last_time")? }))
}
