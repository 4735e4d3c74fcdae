//! Table `rejections`: what was found out about credentials that callers reported as rejected.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rejections")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection_id: Uuid,
    pub version: i64,
    pub generation: i64,
    pub finding: Option<String>,
    pub process_id: Option<Uuid>,
    pub lease_time: Option<i64>,
    pub time: i64,
    pub next_time: i64,
    pub service: String,
    pub calls: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
