//! The connect page: where a customer lists, adds, repairs and ends connections, in a window of its own or embedded in a page of
//! the session's origin. Each request brings the browser's cookie; each that changes something comes from a page of the
//! vault's own and brings the token of that page's forms.
//!
//! Everything works without scripts up to where a provider's page needs a window of its own. `connect-page.js` adds that,
//! checks values while they are typed, and tells the application's page what has happened.

mod desk;

mod failed;

mod notice;

mod opening;

mod listing;

mod form;
mod wrong;

mod consenting;

mod adding;

mod changing;

mod ending;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::port::Port;

pub(super) use consenting::come_back;

/// The routes of connect pages.
pub(super) fn routes() -> Router<Arc<Port>> {
    Router::new()
        .route("/connect.js", get(opening::element))
        .route("/connect/open/{token}", get(opening::open))
        .route("/connect/s/{session}", get(listing::list))
        .route("/connect/s/{session}/add", get(adding::providers))
        .route("/connect/s/{session}/add/{provider}", get(adding::fill_in).post(adding::add))
        .route(
            "/connect/s/{session}/c/{connection}/reconnect",
            get(adding::fill_in_again).post(adding::reconnect),
        )
        .route("/connect/s/{session}/c/{connection}/name", get(changing::ask_name).post(changing::rename))
        .route("/connect/s/{session}/c/{connection}/test", post(changing::test))
        .route("/connect/s/{session}/c/{connection}/default", post(changing::set_default))
        .route("/connect/s/{session}/c/{connection}/disconnect", get(ending::ask).post(ending::disconnect))
        .route("/connect/s/{session}/c/{connection}/remove", get(ending::ask_removal).post(ending::remove))
        .route("/connect/s/{session}/complete", post(consenting::complete))
        .route("/connect/s/{session}/window", get(consenting::window))
        .route("/connect/s/{session}/leave", post(ending::leave))
}
