//! Table `oauth_apps`: apps at providers, their secrets sealed.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "oauth_apps")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    pub id: Uuid,
    pub client_id: String,
    pub redirect_uri: String,
    pub scopes: Json,
    pub settings: Json,
    pub generation: i64,
    pub schema: i64,
    pub key_version: i64,
    pub sealed: Vec<u8>,
    pub hints: Json,
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
