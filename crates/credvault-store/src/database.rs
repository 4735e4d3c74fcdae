//! The database itself: how it is reached, checked, prepared and opened, and how a transaction of a tenant begins. What is
//! stored in it belongs to the other modules.

pub(crate) mod settings;

pub(crate) mod broken_keys;
pub(crate) mod connect;
pub(crate) mod file;
pub(crate) mod open_error;
pub(crate) mod prepare;
pub(crate) mod role_check;
pub(crate) mod roots;
pub(crate) mod startup;

pub(crate) mod erased;
pub(crate) mod json_rows;
pub(crate) mod liveness;
pub(crate) mod newest_keys;
pub(crate) mod pieces;
pub(crate) mod session;
pub(crate) mod tenant_keys;
pub(crate) mod transaction;
pub(crate) mod turns;
