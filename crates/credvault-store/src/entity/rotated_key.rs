//! Table `rotated_keys`: keys that rotations have made or replaced, until they serve or have ended.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rotated_keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    pub role: String,
    pub version: i64,
    pub key_id: Option<String>,
    pub expire_time: Option<i64>,
    pub create_time: i64,
    pub due_time: i64,
    pub attempts: i64,
    pub schema: i64,
    pub key_version: i64,
    pub sealed: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
