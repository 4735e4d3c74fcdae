//! Table `audit_bundles`: the records of tenants' logs, in whole bundles and in pieces.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_bundles")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub start: i64,
    pub records: i64,
    pub key_number: Option<i64>,
    pub sealed: Option<Vec<u8>>,
    pub leaves: Option<Vec<u8>>,
    pub settled: i64,
    pub frontier: Option<Vec<u8>>,
    pub first_id: Option<Uuid>,
    pub last_id: Option<Uuid>,
    pub first_time: Option<i64>,
    pub words: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
