//! What a batch knows of the connections that its owners have: read with one query for each question, and kept up while
//! items are added.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::Owner;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, QuerySelect as _};

use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::connections::import::item::{ImportItem, source};
use crate::connections::import::lookup::Lookup;
use crate::connections::import::memory::{self, Remembered};
use crate::connections::quota::ConnectionQuotas;
use crate::connections::row::owner_column;
use crate::connections::writer::ConnectionRow;
use crate::database::json_rows::{self, Kind, value};
use crate::entity::connection::{Entity, Model};
use crate::{Error, NewConnection};

/// The column `owner_user` and the provider: within them names are unique, and one connection is the default.
type Group = (String, String);

/// What there is, and what the batch has added to it.
pub(super) struct Known {
    /// How many connections the tenant and its users may have.
    quotas: ConnectionQuotas,
    /// Rows that were imported before, by their source.
    imported: BTreeMap<String, Remembered>,
    /// The sources of the batch so far.
    of_batch: BTreeSet<String>,
    /// Names that are taken within an owner and provider, by this batch, too.
    taken: BTreeSet<(Group, String)>,
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
        let sources: BTreeSet<_> = items.iter().filter_map(|item| source(&item.new.labels)).collect();
        let row = |item: &ImportItem| (group_of(&item.new), item.new.account_name.as_str().to_owned());
        let rows: BTreeSet<_> = items.iter().map(row).collect();
        let lookup = Lookup::new(change, &rows)?;
        let [owner, provider, account] =
            ["0,0", "0,1", "1"].map(|place| value(change.store.database(), place, Kind::Text));
        let theirs = format!("c.owner_user = {owner} AND c.provider = {provider} AND c.delete_time IS NULL");
        let taken = lookup.connections(&format!("{theirs} AND c.account_name = {account}"), false).await?;
        let defaults = lookup.connections(&format!("{theirs} AND c.is_default"), false).await?;
        let quotas = change.store.connection_quotas(change.tenant());
        Ok(Self {
            quotas,
            imported: memory::read(change, &sources).await?,
            of_batch: BTreeSet::new(),
            taken: taken.iter().map(key).collect(),
            defaults: defaults.into_iter().map(|model| (group(&model), Some(model))).collect(),
            marked: marked(items),
            former: Vec::new(),
            of_user: counts(&lookup, quotas).await?,
        })
    }

    /// What the vault remembers of the row of an item.
    ///
    /// # Errors
    /// [`Error::State`] if another item of the batch is of the same row.
    pub(super) fn imported(&mut self, source: &str) -> Result<Option<&Remembered>, Error> {
        if !self.of_batch.insert(source.to_owned()) {
            return Err(Error::State("another item of the request has the same source; send one of them"));
        }
        Ok(self.imported.get(source))
    }

    /// Whether the name of a new connection is taken.
    pub(super) fn is_taken(&self, new: &NewConnection) -> bool {
        self.taken.contains(&(group_of(new), new.account_name.as_str().to_owned()))
    }

    /// Takes a place in the quota of a user.
    ///
    /// # Errors
    /// [`Error::UserFull`] if there is none.
    pub(super) fn room(&mut self, owner: &Owner) -> Result<(), Error> {
        let most = self.quotas.of_user;
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
        let group = group_of(&item.new);
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
        self.taken.insert(key(model));
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
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        if more == 0 {
            return Ok(());
        }
        change.store.quotas().check_tenant(&change.tx, self.quotas, change.tenant(), more).await
    }
}

fn group_of(new: &NewConnection) -> Group {
    (owner_column(&new.owner).to_owned(), new.provider.as_str().to_owned())
}

fn group(model: &Model) -> Group {
    (model.owner_user.clone(), model.provider.clone())
}

fn key(model: &Model) -> (Group, String) {
    (group(model), model.account_name.clone())
}

/// Groups in which the batch marks a default.
fn marked(items: &[ImportItem]) -> BTreeSet<Group> {
    items.iter().filter(|item| item.make_default).map(|item| group_of(&item.new)).collect()
}

/// How many connections each user of the batch has, deleted ones included, if there is a limit.
async fn counts(lookup: &Lookup<'_>, quotas: ConnectionQuotas) -> Result<BTreeMap<String, i64>, Error> {
    let change = lookup.change;
    if quotas.of_user == 0 {
        return Ok(BTreeMap::new());
    }
    let database = change.store.database();
    let owner = value(database, "0,0", Kind::Text);
    let asked = lookup.statement(&format!(
        "SELECT u.owner_user, (SELECT count(*) FROM connections c
             WHERE c.tenant_id = $1 AND c.owner_user = u.owner_user) AS n
         FROM (SELECT DISTINCT {owner} AS owner_user FROM {}) u WHERE u.owner_user <> ''",
        json_rows::rows(database),
    ));
    let rows = change.tx.query_all_raw(asked).await?;
    rows.iter().map(|row| Ok((row.try_get("", "owner_user")?, row.try_get("", "n")?))).collect()
}
