//! What a batch knows of the connections that its owners have: read with one query for each question, and kept up while
//! items are added.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::{Owner, UserId};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use crate::Error;
use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::connections::import::item::ImportItem;
use crate::connections::row::owner_column;
use crate::connections::writer::ConnectionRow;
use crate::entity::connection::{Column, Entity, Model};
use crate::{NewConnection, Store};

/// The column `owner_user` and the provider: within them names are unique, and one connection is the default.
type Group = (String, String);

/// What there is, and what the batch has added to it.
pub(super) struct Known {
    /// Connections with an owner, provider and name of the batch. `None` for those that the batch adds itself.
    taken: BTreeMap<(Group, String), Option<Model>>,
    /// The defaults; `None` for those that the batch adds itself.
    defaults: BTreeMap<Group, Option<Model>>,
    /// Groups whose default the batch marks.
    marked: BTreeSet<Group>,
    /// Stored defaults that give way to one of the batch.
    former: Vec<Model>,
    /// How many connections each user has.
    of_user: BTreeMap<String, i64>,
}

impl Known {
    pub(super) async fn read(change: &Change<'_>, items: &[ImportItem]) -> Result<Self, Error> {
        let news = || items.iter().map(|item| &item.new);
        let owners: BTreeSet<_> = news().map(|new| owner_column(&new.owner)).collect();
        let names: BTreeSet<_> = news().map(|new| new.account_name.as_str()).collect();
        let providers: BTreeSet<_> = news().map(|new| new.provider.as_str()).collect();
        let theirs = Condition::all()
            .add(Column::TenantId.eq(change.tenant().as_str()))
            .add(Column::OwnerUser.is_in(owners))
            .add(Column::Provider.is_in(providers))
            .add(Column::DeleteTime.is_null());
        let taken = Entity::find().filter(theirs.clone()).filter(Column::AccountName.is_in(names));
        let taken = taken.lock_exclusive().all(&change.tx).await?;
        let defaults = Entity::find().filter(theirs).filter(Column::IsDefault.eq(true));
        let defaults = defaults.all(&change.tx).await?;
        Ok(Self {
            taken: taken.into_iter().map(|model| (key(&model), Some(model))).collect(),
            defaults: defaults.into_iter().map(|model| (group(&model), Some(model))).collect(),
            marked: marked(items),
            former: Vec::new(),
            of_user: count(change, items).await?,
        })
    }

    /// The connection that has the name of a new one.
    ///
    /// # Errors
    /// [`Error::ConnectionExists`] if it is of this same batch.
    pub(super) fn taken(&self, new: &NewConnection) -> Result<Option<Model>, Error> {
        let group = (owner_column(&new.owner).to_owned(), new.provider.as_str().to_owned());
        match self.taken.get(&(group, new.account_name.as_str().to_owned())) {
            None => Ok(None),
            Some(Some(model)) => Ok(Some(model.clone())),
            Some(None) => Err(Error::ConnectionExists),
        }
    }

    /// Takes a place in the quota of a user.
    ///
    /// # Errors
    /// [`Error::UserFull`] if there is none.
    pub(super) fn room(&mut self, change: &Change<'_>, owner: &Owner) -> Result<(), Error> {
        let most = change.store.settings().connections_of_user;
        let Some(user) = owner.user().filter(|_| most > 0) else { return Ok(()) };
        let has = self.of_user.entry(user.as_str().to_owned()).or_default();
        if *has >= i64::from(most) {
            return Err(Error::UserFull { most });
        }
        *has += 1;
        Ok(())
    }

    /// Whether a new connection becomes its owner's default: the one that the batch marks, or else the first.
    pub(super) fn becomes_default(&mut self, item: &ImportItem) -> bool {
        let new = &item.new;
        let group = (owner_column(&new.owner).to_owned(), new.provider.as_str().to_owned());
        let becomes = match self.defaults.get(&group) {
            Some(Some(_)) => item.make_default,
            Some(None) => false,
            None => item.make_default || !self.marked.contains(&group),
        };
        if becomes {
            self.former.extend(self.defaults.insert(group, None).flatten());
        }
        becomes
    }

    /// Notes a connection that the batch adds.
    pub(super) fn add(&mut self, model: &Model) {
        self.taken.insert(key(model), None);
    }

    /// Takes the place of the default from stored connections that give way to one of the batch.
    pub(super) async fn pass_defaults_on(&mut self, change: &mut Change<'_>) -> Result<(), Error> {
        for former in std::mem::take(&mut self.former) {
            let key = (former.tenant_id, former.id);
            let Some(former) = Entity::find_by_id(key).lock_exclusive().one(&change.tx).await? else {
                continue;
            };
            let mut row = ConnectionRow::new(former);
            row.columns.is_default = sea_orm::ActiveValue::Set(false);
            row.save(change, ChangeKind::Updated, None).await?;
        }
        Ok(())
    }

    /// Refuses the batch if the tenant would have more connections than it may.
    pub(super) async fn check_tenant(&self, change: &Change<'_>, more: usize) -> Result<(), Error> {
        let (store, tenant): (&Store, _) = (change.store, change.tenant());
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        if more == 0 {
            return Ok(());
        }
        let most = store.settings().connections_of_tenant;
        store.quotas().check_tenant(&change.tx, most, tenant, more).await
    }
}

fn group(model: &Model) -> Group {
    (model.owner_user.clone(), model.provider.clone())
}

fn key(model: &Model) -> (Group, String) {
    (group(model), model.account_name.clone())
}

/// Groups in which the batch marks a default.
fn marked(items: &[ImportItem]) -> BTreeSet<Group> {
    let marked = items.iter().filter(|item| item.make_default).map(|item| &item.new);
    marked.map(|new| (owner_column(&new.owner).to_owned(), new.provider.as_str().to_owned())).collect()
}

/// How many connections each user of the batch has, deleted ones included, if there is a limit.
async fn count(change: &Change<'_>, items: &[ImportItem]) -> Result<BTreeMap<String, i64>, Error> {
    let users: BTreeSet<&str> =
        items.iter().filter_map(|item| item.new.owner.user()).map(UserId::as_str).collect();
    if users.is_empty() || change.store.settings().connections_of_user == 0 {
        return Ok(BTreeMap::new());
    }
    let counted = Entity::find()
        .filter(Column::TenantId.eq(change.tenant().as_str()))
        .filter(Column::OwnerUser.is_in(users))
        .select_only()
        .column(Column::OwnerUser)
        .column_as(Column::Id.count(), "connections")
        .group_by(Column::OwnerUser)
        .into_tuple::<(String, i64)>();
    Ok(counted.all(&change.tx).await?.into_iter().collect())
}
