//! Table `erasures`: the tenants that were erased, for ever.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erasures")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    pub state: String,
    pub service: String,
    pub token_hash: Vec<u8>,
    pub request_time: i64,
    pub confirm_time: i64,
    pub finish_time: Option<i64>,
    pub content: String,
    pub keys: String,
    pub statement: Option<String>,
    pub signature: Option<Vec<u8>>,
    pub signing_key: Option<String>,
    pub stores: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
