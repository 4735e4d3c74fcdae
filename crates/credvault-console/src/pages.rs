//! The pages, one file each: a function of the console and the request's fields that calls the API and gives a page.

pub(crate) mod entrance;

pub(crate) mod counts;
pub(crate) mod overview;

pub(crate) mod selection;

pub(crate) mod access;
pub(crate) mod change;
pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod records;
pub(crate) mod undelete;

pub(crate) mod tenant;
pub(crate) mod tenants;

pub(crate) mod actions;
pub(crate) mod audit;
pub(crate) mod audit_filter;
pub(crate) mod export;

pub(crate) mod apps;
pub(crate) mod events;
pub(crate) mod keys;

pub(crate) mod policy;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;

use crate::console::Console;
use crate::fields::Fields;
use crate::refusal::Refusal;

/// The console that serves a request.
pub(crate) type Shared = State<Arc<Console>>;

/// What the guard has read of a request.
pub(crate) type Given = Extension<Fields>;

/// Where a form leads that has done its work: to a page that can be loaded again.
pub(crate) type Done = Result<Redirect, Refusal>;
