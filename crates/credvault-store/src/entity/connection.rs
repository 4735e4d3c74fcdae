//! Table `connections`: connections, without their secrets.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "connections")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub owner_user: String,
    pub provider: String,
    pub account_name: String,
    pub auth_mode: String,
    pub state: String,
    pub error_reason: Option<String>,
    pub error_code: Option<String>,
    pub error_time: Option<i64>,
    pub enabled: bool,
    pub config: Json,
    pub labels: Json,
    pub external_account_id: Option<String>,
    pub is_default: bool,
    pub last_version: i64,
    pub current_version: i64,
    pub hints: Json,
    pub expire_time: Option<i64>,
    pub last_used_time: Option<i64>,
    pub revision: i64,
    pub create_time: i64,
    pub update_time: i64,
    pub delete_time: Option<i64>,
    pub purge_time: Option<i64>,
    pub last_refreshed_time: Option<i64>,
    pub last_verified_time: Option<i64>,
    pub scopes_asked: Option<Json>,
    pub scopes_granted: Option<Json>,
    pub revocation: Option<String>,
    pub revocation_time: Option<i64>,
    pub found_account_id: Option<String>,
    pub test_time: Option<i64>,
    pub confirmed_account_id: Option<String>,
    pub confirmed_settings: Json,
    pub rotation_days: Option<i64>,
    pub rotation_due_time: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
