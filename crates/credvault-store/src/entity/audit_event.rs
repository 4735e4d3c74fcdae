//! Table `audit_events`: the audit log.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub time: i64,
    pub service: Option<String>,
    pub user_id: Option<String>,
    pub tenant_source: String,
    pub action: String,
    pub connection_id: Option<Uuid>,
    pub provider: Option<String>,
    pub version: Option<i64>,
    pub purpose: Option<String>,
    pub changed: Json,
    pub outcome: String,
    pub reason: Option<String>,
    pub policies: Json,
    pub trace_id: String,
    pub source_address: Option<String>,
    pub owner_user: Option<String>,
    pub released: Option<Json>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
