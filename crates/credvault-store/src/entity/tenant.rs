//! Table `tenants`: tenants and their state.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tenants")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    pub display_name: String,
    pub state: String,
    pub revision: i64,
    pub create_time: i64,
    pub update_time: i64,
    pub delivery_grace_time: Option<i64>,
    pub secret_store: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
