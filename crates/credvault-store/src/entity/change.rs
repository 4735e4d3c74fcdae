//! Table `changes`. Its column `txid`, the id of the row's transaction, is filled in by the database.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "changes")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub tenant_id: String,
    pub connection_id: Option<Uuid>,
    pub provider: Option<String>,
    pub endpoint_id: Option<Uuid>,
    pub service_config_id: Option<Uuid>,
    pub tool: Option<String>,
    pub kind: String,
    pub version: Option<i64>,
    pub time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
