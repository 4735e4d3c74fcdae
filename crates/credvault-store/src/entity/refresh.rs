//! Table `refreshes`: when and how tokens are refreshed, and who has claimed that.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refreshes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection_id: Uuid,
    pub generation: i64,
    pub state: String,
    pub due_time: Option<i64>,
    pub retry_time: Option<i64>,
    pub failures: i64,
    pub marked: bool,
    pub claim_id: Option<Uuid>,
    pub process_id: Option<Uuid>,
    pub lease_time: Option<i64>,
    pub provider: String,
    pub client_id: Option<String>,
    pub doubted: bool,
    pub unsettled_time: Option<i64>,
    pub refused: bool,
    pub refusals: i64,
    pub pause: Option<String>,
    pub pause_app: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
