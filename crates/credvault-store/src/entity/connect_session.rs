//! Table `connect_sessions`: sessions of the connect page, by their id.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "connect_sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub token_hash: Vec<u8>,
    pub browser_hash: Option<Vec<u8>>,
    pub service: String,
    pub user_id: String,
    pub tenant_source: String,
    pub source_address: String,
    pub terms: String,
    pub key_version: i64,
    pub proof: Vec<u8>,
    pub create_time: i64,
    pub expire_time: i64,
    pub open_time: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
