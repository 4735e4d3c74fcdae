//! Table `credential_versions`: the sealed versions of credentials.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "credential_versions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    pub schema: i64,
    pub key_version: i64,
    pub sealed: Option<Vec<u8>>,
    pub hints: Json,
    pub create_time: i64,
    pub expire_time: Option<i64>,
    pub destroy_time: Option<i64>,
    pub rolled_back_from: Option<i64>,
    pub payload: Option<Uuid>,
    pub store: Option<String>,
    pub key_revoke_time: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
