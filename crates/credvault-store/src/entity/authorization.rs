//! Table `authorizations`: authorizations in progress, by the hash of their state.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "authorizations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub state_hash: Vec<u8>,
    pub connection_id: Uuid,
    pub key_version: i64,
    pub user_id: Option<String>,
    pub service: String,
    pub session_hash: Option<Vec<u8>>,
    pub browser_hash: Option<Vec<u8>>,
    pub public: bool,
    pub return_origin: Option<String>,
    pub return_url: Option<String>,
    pub redirect_uri: String,
    pub exchange_url: Option<String>,
    pub client_id: String,
    pub scopes: Json,
    pub create_time: i64,
    pub expire_time: i64,
    pub return_time: Option<i64>,
    pub consume_time: Option<i64>,
    pub tenant_source: Option<String>,
    pub source_address: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
