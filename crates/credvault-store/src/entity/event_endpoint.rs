//! Table `event_endpoints`: event endpoints, their URL and secrets sealed.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_endpoints")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub url: String,
    pub types: String,
    pub description: String,
    pub enabled: bool,
    pub generation: i64,
    pub schema: i64,
    pub key_version: i64,
    pub sealed: Vec<u8>,
    pub previous_expire_time: Option<i64>,
    pub failures: i64,
    pub success_time: Option<i64>,
    pub failure_time: Option<i64>,
    pub failure: Option<String>,
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
