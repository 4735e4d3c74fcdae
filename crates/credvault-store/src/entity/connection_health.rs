//! Table `connection_health`: when the grant of a connection ends, and what went wrong last.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connection_health")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection_id: Uuid,
    pub renewal: Option<String>,
    pub begin_time: Option<i64>,
    pub renew_time: Option<i64>,
    pub consent_end_time: Option<i64>,
    pub named_end_time: Option<i64>,
    pub grant_end_time: Option<i64>,
    pub ending_time: Option<i64>,
    pub warn_time: Option<i64>,
    pub error_reason: Option<String>,
    pub error_code: Option<String>,
    pub error_pause: Option<String>,
    pub error_time: Option<i64>,
    pub retry_time: Option<i64>,
    pub recover_time: Option<i64>,
    pub down_time: Option<i64>,
    pub error_status: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
