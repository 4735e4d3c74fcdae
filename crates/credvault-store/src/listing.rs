//! Listing connections.

use credvault_domain::{AccountName, Connection, ConnectionState, ProviderId, TenantScope, UserId};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use crate::connection_row::{connection, visible};
use crate::entity::connection::{Column, Entity};
use crate::page::uuid_position;
use crate::{Connections, Error, Listed, Page};

/// Whose connections are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OwnerFilter {
    /// Those of one user.
    User(UserId),
    /// Those that belong to the space itself: the tenant's own, or the platform's.
    Shared,
}

/// Which connections are wanted. Everything given must hold.
#[derive(Clone, Default, Debug)]
pub struct ConnectionFilter {
    /// Of this owner.
    pub owner: Option<OwnerFilter>,
    /// At this provider.
    pub provider: Option<ProviderId>,
    /// With this name.
    pub account_name: Option<AccountName>,
    /// In this state.
    pub state: Option<ConnectionState>,
    /// Deleted ones, too.
    pub show_deleted: bool,
}

impl Connections<'_> {
    /// A page of connections, oldest first.
    ///
    /// # Errors
    /// The tenant is not served, the page token is wrong, or the database fails.
    pub async fn list(
        &self,
        scope: &TenantScope,
        filter: &ConnectionFilter,
        page: &Page,
    ) -> Result<Listed<Connection>, Error> {
        let reading = self.store.query(scope).await?;
        let after = uuid_position(page.position(scope.tenant(), &reading)?)?;
        let owner = filter.owner.as_ref().map(|owner| match owner {
            OwnerFilter::User(user) => Column::OwnerUser.eq(user.as_str()),
            OwnerFilter::Shared => Column::OwnerUser.eq(""),
        });
        let condition = visible(scope)
            .add_option(owner)
            .add_option(filter.provider.as_ref().map(|provider| Column::Provider.eq(provider.as_str())))
            .add_option(filter.account_name.as_ref().map(|name| Column::AccountName.eq(name.as_str())))
            .add_option(filter.state.map(|state| Column::State.eq(state.as_str())))
            .add_option((!filter.show_deleted).then(|| Column::DeleteTime.is_null()))
            .add_option(after.map(|id| Column::Id.gt(id)));
        let query = Entity::find().filter(condition).order_by_asc(Column::Id).limit(page.limit());
        let rows = query.all(&reading.tx).await?;
        let items = rows.into_iter().map(connection).collect::<Result<Vec<_>, Error>>()?;
        // A shorter page than was asked for, rather than a response that no client takes.
        let sizes = items.iter().scan(0, |sum: &mut usize, item| {
            *sum += size(item);
            Some(*sum)
        });
        let fitting = sizes.take_while(|sum| *sum <= PAGE_BYTES).count().max(1);
        let page = Page { size: page.size.min(u32::try_from(fitting).unwrap_or(u32::MAX)), ..page.clone() };
        page.cut(self.store, scope.tenant(), &reading, items, |last| last.id.as_uuid().as_bytes().to_vec())
    }
}

/// The most bytes of a page, roughly: under the 4 MiB that gRPC clients accept by default.
const PAGE_BYTES: usize = 3 * 1024 * 1024;

/// About how many bytes a connection has in a response.
fn size(connection: &Connection) -> usize {
    let config: usize =
        connection.config.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
    let labels: usize = connection.labels.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let hints: usize = connection.hints.iter().map(|(name, hint)| name.len() + hint.len() + 8).sum();
    1024 + 2 * config + labels + hints
}
