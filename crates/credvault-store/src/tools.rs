//! The repository of tools: what each tool of the platform requires, in the platform's namespace. Every tenant's checks
//! read them; only administration changes them.

use credvault_domain::{
    AccountName, AuthMode, Etag, ProviderId, Requirement, TenantId, TenantScope, Timestamp, Tool, ToolName,
};
use futures::StreamExt as _;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::{Change, retrying};
use crate::entity::tool::{ActiveModel, Column, Entity, Model};
use crate::error::violates;
use crate::page::text_position;
use crate::{Error, Listed, Page, Recorded, Store, Write};

/// The most tools of the platform.
const MAX_TOOLS: u64 = 1_000;

/// A tool to be registered.
#[derive(Clone, Debug)]
pub struct NewTool {
    /// The name of the tool.
    pub name: ToolName,
    /// What it is, for people.
    pub description: String,
    /// What it requires; the catalog knows every provider of it.
    pub requirements: Vec<Requirement>,
    /// The etag that the stored one must have, if the caller names one.
    pub etag: Option<Etag>,
}

/// The repository of tools.
#[derive(Clone, Copy, Debug)]
pub struct Tools<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of tools.
    pub fn tools(&self) -> Tools<'_> {
        Tools { store: self }
    }
}

impl Tools<'_> {
    /// Registers a tool in place of the one of that name. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// It has another etag, or there are as many tools as may be.
    pub async fn put(
        &self,
        platform: &TenantScope,
        new: &NewTool,
        write: &Write,
    ) -> Result<Recorded<Tool>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(platform, write).await?;
            let stored =
                Entity::find_by_id(key(platform, &new.name)).lock_exclusive().one(&change.tx).await?;
            if change.prior().is_some() {
                let stored = stored.ok_or_else(|| Error::ToolNotFound(new.name.clone()))?;
                return change.commit(tool(stored)?).await;
            }
            if new.etag.is_some_and(|etag| stored.as_ref().map(|row| row.revision) != Some(etag.revision())) {
                return Err(Error::EtagMismatch);
            }
            let kind = if stored.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
            let model = saved(&change, new, stored).await?;
            note(&mut change, &new.name, kind);
            change.commit(tool(model)?).await
        })
        .await
    }

    /// A page of all tools, ordered by name.
    ///
    /// # Errors
    /// The page token is wrong, or the database fails.
    pub async fn list(&self, platform: &TenantScope, page: &Page) -> Result<Listed<Tool>, Error> {
        let reading = self.store.query(platform).await?;
        let after = text_position(page.position(platform.tenant(), &reading)?)?.unwrap_or_default();
        let rows = Entity::find()
            .filter(Column::TenantId.eq(platform.tenant().as_str()))
            .filter(Column::Name.gt(after))
            .order_by_asc(Column::Name)
            .limit(page.limit())
            .stream(&reading.tx)
            .await?
            .map(|row| tool(row?));
        let position = |last: &Tool| last.name.as_str().as_bytes().to_vec();
        page.read(self.store, platform.tenant(), reading.key(), rows, position).await
    }

    /// Removes a tool.
    ///
    /// # Errors
    /// [`Error::ToolNotFound`].
    pub async fn delete(
        &self,
        platform: &TenantScope,
        name: &ToolName,
        write: &Write,
    ) -> Result<Recorded<()>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(platform, write).await?;
            if change.prior().is_none() {
                let removed = Entity::delete_by_id(key(platform, name)).exec(&change.tx).await?;
                if removed.rows_affected == 0 {
                    return Err(Error::ToolNotFound(name.clone()));
                }
                note(&mut change, name, ChangeKind::Deleted);
            }
            change.commit(()).await
        })
        .await
    }

    /// The tools of these names, in the order of the names. What they require is no tenant's, so every caller may have
    /// them read.
    ///
    /// # Errors
    /// [`Error::ToolNotFound`] for the first that there is none of.
    pub async fn named(&self, names: &[ToolName]) -> Result<Vec<Tool>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let platform = TenantId::platform();
        let reading = self.store.read_any(&platform).await?;
        let rows = Entity::find()
            .filter(Column::TenantId.eq(platform.as_str()))
            .filter(Column::Name.is_in(names.iter().map(ToolName::as_str)));
        let found: Vec<Tool> =
            rows.all(&reading.tx).await?.into_iter().map(tool).collect::<Result<_, _>>()?;
        let one = |name: &ToolName| found.iter().find(|tool| tool.name == *name).cloned();
        names.iter().map(|name| one(name).ok_or_else(|| Error::ToolNotFound(name.clone()))).collect()
    }
}

/// How records name a tool.
pub fn tool_name(name: &ToolName) -> String {
    format!("tools/{name}")
}

fn key(platform: &TenantScope, name: &ToolName) -> (String, String) {
    (platform.tenant().as_str().to_owned(), name.as_str().to_owned())
}

/// Sets what the change is about, and adds its row to the feed.
fn note(change: &mut Change<'_>, name: &ToolName, kind: ChangeKind) {
    change.set_subject(Uuid::nil(), tool_name(name), None);
    change.record_change(ChangeSubject::Tool(name.clone()), kind, None);
}

/// Inserts the row, or updates the one that is stored.
async fn saved(change: &Change<'_>, new: &NewTool, stored: Option<Model>) -> Result<Model, Error> {
    let now = change.now.micros();
    let requirements = Value::Array(new.requirements.iter().map(requirement_json).collect());
    if let Some(stored) = stored {
        let revision = stored.revision + 1;
        let mut row = stored.into_active_model();
        row.description = Set(new.description.clone());
        row.requirements = Set(requirements);
        row.revision = Set(revision);
        row.update_time = Set(now);
        return Ok(row.update(&change.tx).await?);
    }
    let all = Entity::find().filter(Column::TenantId.eq(change.tenant().as_str()));
    if all.count(&change.tx).await? >= MAX_TOOLS {
        return Err(Error::TooManyTools);
    }
    let row = ActiveModel {
        tenant_id: Set(change.tenant().as_str().to_owned()),
        name: Set(new.name.as_str().to_owned()),
        description: Set(new.description.clone()),
        requirements: Set(requirements),
        revision: Set(1),
        create_time: Set(now),
        update_time: Set(now),
    };
    match row.insert(&change.tx).await {
        // Another call has registered it at this moment.
        Err(error) if violates(&error, "tools_pkey", "tools.name") => Err(Error::Conflict),
        inserted => Ok(inserted?),
    }
}

fn tool(row: Model) -> Result<Tool, Error> {
    let Value::Array(requirements) = row.requirements else { return Err(Error::Integrity) };
    Ok(Tool {
        name: ToolName::from_stored(row.name),
        description: row.description,
        requirements: requirements.iter().map(requirement).collect::<Option<_>>().ok_or(Error::Integrity)?,
        revision: row.revision,
        create_time: Timestamp::from_micros(row.create_time),
        update_time: Timestamp::from_micros(row.update_time),
    })
}

/// A requirement as it is stored.
fn requirement_json(requirement: &Requirement) -> Value {
    let Requirement { provider, auth_modes, scopes, account, works_without } = requirement;
    json!({
        "provider": provider.as_str(),
        "auth_modes": auth_modes.iter().map(AuthMode::as_str).collect::<Vec<_>>(),
        "scopes": scopes,
        "account": account.as_ref().map(AccountName::as_str),
        "works_without": works_without,
    })
}

/// Reads what [`requirement_json`] wrote.
fn requirement(stored: &Value) -> Option<Requirement> {
    let texts = |name: &str| {
        let texts = stored.get(name)?.as_array()?.iter();
        texts.map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    };
    let account = stored.get("account")?;
    let account = if account.is_null() { None } else { Some(AccountName::parse(account.as_str()?).ok()?) };
    Some(Requirement {
        provider: ProviderId::from_stored(stored.get("provider")?.as_str()?.to_owned()),
        auth_modes: texts("auth_modes")?.into_iter().map(AuthMode::from_stored).collect(),
        scopes: texts("scopes")?,
        account,
        works_without: stored.get("works_without")?.as_bool()?,
    })
}
