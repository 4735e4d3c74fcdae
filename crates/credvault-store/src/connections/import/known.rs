//! What a batch knows of the connections that its owners have: read with one query for each question, and kept up while
//! items are added.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::Owner;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, QuerySelect as _, Statement};

use crate::Database;
use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::connections::import::item::ImportItem;
use crate::connections::row::owner_column;
use crate::connections::writer::ConnectionRow;
use crate::database::json_rows::{self, Kind, value};
use crate::entity::connection::{Entity, Model};
use crate::{Error, NewConnection, Store};

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
        let asking = Asking::new(change, items)?;
        let taken = asking.connections("c.account_name = {account}", true).await?;
        let defaults = asking.connections("c.is_default", false).await?;
        Ok(Self {
            taken: taken.into_iter().map(|model| (key(&model), Some(model))).collect(),
            defaults: defaults.into_iter().map(|model| (group(&model), Some(model))).collect(),
            marked: marked(items),
            former: Vec::new(),
            of_user: asking.counts().await?,
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

/// Questions about each row of a batch. The database answers them by an index, row by row: a list of values, such as `IN`
/// takes, may have it look at every connection of the tenant instead.
struct Asking<'a> {
    change: &'a Change<'a>,
    /// Owner, provider and account name of each, as a JSON array.
    rows: String,
}

impl<'a> Asking<'a> {
    fn new(change: &'a Change<'_>, items: &[ImportItem]) -> Result<Self, Error> {
        let row = |item: &ImportItem| {
            let new = &item.new;
            (
                owner_column(&new.owner).to_owned(),
                new.provider.as_str().to_owned(),
                new.account_name.as_str().to_owned(),
            )
        };
        let rows: BTreeSet<_> = items.iter().map(row).collect();
        Ok(Self { change, rows: json_rows::encode(&rows)? })
    }

    /// The stored connections of each row's owner and provider for which the condition holds: at most one for each
    /// row, and the same one for several.
    async fn connections(&self, condition: &str, lock: bool) -> Result<Vec<Model>, Error> {
        let database = self.change.store.database();
        let [owner, provider, account] = ["0", "1", "2"].map(|place| value(database, place, Kind::Text));
        let condition = condition.replace("{account}", &account);
        let stored = format!(
            "connections c WHERE c.tenant_id = $1 AND c.owner_user = {owner} AND c.provider = {provider} AND {condition}
             AND c.delete_time IS NULL"
        );
        let rows = json_rows::rows(database);
        let joined = match database {
            Database::Postgres => {
                let lock = if lock { "FOR UPDATE" } else { "" };
                format!("{rows} CROSS JOIN LATERAL (SELECT c.* FROM {stored} LIMIT 1 {lock}) c")
            }
            // SQLite keeps the order of a cross join.
            Database::Sqlite => format!("{rows} CROSS JOIN {stored}"),
        };
        let asked = self.statement(&format!("SELECT c.* FROM {joined}"));
        Ok(Entity::find().from_raw_sql(asked).all(&self.change.tx).await?)
    }

    /// How many connections each user of the batch has, deleted ones included, if there is a limit.
    async fn counts(&self) -> Result<BTreeMap<String, i64>, Error> {
        if self.change.store.settings().connections_of_user == 0 {
            return Ok(BTreeMap::new());
        }
        let database = self.change.store.database();
        let owner = value(database, "0", Kind::Text);
        let rows = json_rows::rows(database);
        let asked = self.statement(&format!(
            "SELECT u.owner_user, (SELECT count(*) FROM connections c
                 WHERE c.tenant_id = $1 AND c.owner_user = u.owner_user) AS n
             FROM (SELECT DISTINCT {owner} AS owner_user FROM {rows}) u WHERE u.owner_user <> ''"
        ));
        let rows = self.change.tx.query_all_raw(asked).await?;
        rows.iter().map(|row| Ok((row.try_get("", "owner_user")?, row.try_get("", "n")?))).collect()
    }

    fn statement(&self, sql: &str) -> Statement {
        let values = [self.change.tenant().as_str().into(), self.rows.as_str().into()];
        Statement::from_sql_and_values(self.change.tx.get_database_backend(), sql, values)
    }
}
