//! Which address leads to which page. All requests pass the guard first, those for unknown addresses among them.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::StatusCode;
use maud::html;

use crate::assets;
use crate::console::Console;
use crate::frame::Page;
use crate::guard::guard;
use crate::pages::{
    apps, audit, change, connection, connections, entrance, events, export, keys, overview, policy, tenant,
    tenants, undelete,
};

/// The routes of a console. The port that serves them must be on the loopback interface.
pub fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/begin", get(entrance::begin))
        .route("/assets/{name}", get(assets::asset))
        .route("/end", get(entrance::ask_to_end).post(entrance::end))
        .route("/", get(overview::show))
        .route("/connections", get(connections::list))
        .route("/connections/change", post(change::change))
        .route("/connection", get(connection::show))
        .route("/connection/undelete", post(undelete::undelete))
        .route("/tenants", get(tenants::list))
        .route("/tenant", get(tenant::show))
        .route("/tenant/suspend", post(tenant::suspend))
        .route("/tenant/resume", post(tenant::resume))
        .route("/audit", get(audit::search))
        .route("/audit/export", get(export::export))
        .route("/keys", get(keys::show))
        .route("/keys/progress", get(keys::progress))
        .route("/keys/rotate", post(keys::rotate))
        .route("/keys/rotate-root", post(keys::rotate_root))
        .route("/events", get(events::show))
        .route("/events/test", post(events::test))
        .route("/events/retry", post(events::retry))
        .route("/apps", get(apps::list).post(apps::put))
        .route("/apps/rotate", get(apps::ask_to_rotate).post(apps::rotate))
        .route("/policy", get(policy::show))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .layer(from_fn_with_state(Arc::clone(&console), guard))
        .with_state(console)
}

async fn nothing() -> Page {
    let text = "There is no page at this address. Begin at the ";
    Page::outside(
        StatusCode::NOT_FOUND,
        "There is nothing here",
        html! { p { (text) a href="/" { "overview" } "." } },
    )
}
