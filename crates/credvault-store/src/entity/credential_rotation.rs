//! Table `credential_rotations`: how the rotation of a connection's credential stands, and who has claimed it.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credential_rotations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection_id: Uuid,
    pub state: String,
    pub mints: bool,
    pub version: Option<i64>,
    pub search_time: Option<i64>,
    pub warn_time: Option<i64>,
    pub retry_time: Option<i64>,
    pub failures: i64,
    pub trouble: Option<String>,
    pub left_time: Option<i64>,
    pub left_key_id: Option<String>,
    pub last_number: i64,
    pub claim_id: Option<Uuid>,
    pub process_id: Option<Uuid>,
    pub lease_time: Option<i64>,
    pub revoke_now: bool,
    pub old_key_life: Option<i64>,
    pub request: Option<String>,
    pub in_vain: i64,
    pub left_keys: i64,
    pub reminded_time: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
