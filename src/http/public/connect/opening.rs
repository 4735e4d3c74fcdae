//! How a connect page is opened, and the script of the pages that embed it.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use credvault_operations::Refusal;
use credvault_operations::connect::{open_path, page_path};
use http::StatusCode;

use super::desk::not_let_in;
use crate::http::public::page::Page;
use crate::http::public::port::{Port, see_other};
use crate::http::public::refused;
use crate::http::public::site::Visitor;

/// The query of a connect page's URL when the browser comes with the cookie that it was given.
const AGAIN: &str = "again";

/// The custom element for the application's page, at an address that stays.
pub(super) async fn element(State(port): State<Arc<Port>>) -> Response {
    port.site.element()
}

/// Opens a connect page for this browser, in two steps. The first gives it a cookie and has it come again; only the second, which
/// brings the cookie along, uses the token up. So a browser that keeps no cookie here loses nothing, and neither does one whose
/// answer got lost.
pub(super) async fn open(
    State(port): State<Arc<Port>>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    if visitor.request.ahead {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let texts = &visitor.language.texts.refused;
    // The token becomes a part of a header and of a link.
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return port.show(&refused::not_found(texts), &visitor);
    }
    match (visitor.guest.id.is_some(), query.as_deref() == Some(AGAIN)) {
        (true, _) => opened(port, token, visitor).await,
        (false, false) => with_cookie(&port, &token, &visitor),
        (false, true) => {
            let url = open_path(&token);
            let page = refused::no_cookies(texts, visitor.request.framed.then_some(url.as_str()));
            not_opened(&port, &token, &page, &visitor).await
        }
    }
}

async fn opened(port: Arc<Port>, token: String, visitor: Visitor) -> Response {
    let (own, guest, brought) = (Arc::clone(&port), visitor.guest.clone(), token.clone());
    let opened = port.whole(async move {
        let _turn = own.turn().await?;
        Some(own.visits.open(&brought, &guest).await)
    });
    let texts = &visitor.language.texts.refused;
    let page = match opened.await {
        Some(Some(Ok(id))) => {
            let mut response = see_other(&page_path(id));
            // Anew, for a browser may have it since an earlier session: it has to last as long as this one.
            if let Some(value) = &visitor.guest.id {
                port.site.welcome(value, visitor.request, &mut response);
            }
            return response;
        }
        Some(Some(Err(refusal))) => {
            let embedder = embedder(&port, &token).await;
            let page = not_let_in(&port, &visitor, &refusal, (embedder.as_deref(), None));
            return embeddable(&port, embedder.as_deref(), &page, &visitor);
        }
        Some(None) => refused::busy(texts),
        None => refused::broken(texts),
    };
    not_opened(&port, &token, &page, &visitor).await
}

/// Gives a browser a cookie for connect pages, and has it open the page again.
fn with_cookie(port: &Port, token: &str, visitor: &Visitor) -> Response {
    let Ok(value) = port.visits.new_cookie() else {
        let page = refused::page_of_refusal(&Refusal::Internal, &visitor.language.texts.refused);
        return port.show(&page, visitor);
    };
    let mut response = see_other(&format!("{}?{AGAIN}", open_path(token)));
    port.site.welcome(&value, visitor.request, &mut response);
    response
}

/// A page that the application's page may embed, as it would have the one that does not open.
async fn not_opened(port: &Port, token: &str, page: &Page, visitor: &Visitor) -> Response {
    let embedder = embedder(port, token).await;
    embeddable(port, embedder.as_deref(), page, visitor)
}

/// The origin that may embed the page of a token.
async fn embedder(port: &Port, token: &str) -> Option<String> {
    let _turn = port.turn().await?;
    port.visits.embedder_at(token).await
}

fn embeddable(port: &Port, embedder: Option<&str>, page: &Page, visitor: &Visitor) -> Response {
    let mut response = port.show(page, visitor);
    port.site.embeddable(embedder, &mut response);
    response
}
