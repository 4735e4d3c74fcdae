//! Table `event_deliveries`: the deliveries of events, each to one endpoint.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_deliveries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub endpoint_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: Uuid,
    pub r#type: String,
    pub body: String,
    pub state: String,
    pub attempts: i64,
    pub due_time: Option<i64>,
    pub attempt_time: Option<i64>,
    pub failure: Option<String>,
    pub expire_time: i64,
    pub create_time: i64,
    pub about_tenant: String,
    pub about_user: Option<String>,
    pub user_deleted: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
