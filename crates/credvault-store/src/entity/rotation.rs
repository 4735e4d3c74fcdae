//! Table `rotations`: the latest rotation of each tenant's key, and of the root key.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rotations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    pub target: i64,
    pub running: bool,
    pub position: String,
    pub done: i64,
    pub total: i64,
    pub failed: i64,
    pub records_per_second: i64,
    pub trouble: Option<String>,
    pub retire_time: Option<i64>,
    pub begin_time: i64,
    pub end_time: Option<i64>,
    pub process_id: Option<Uuid>,
    pub lease_time: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
