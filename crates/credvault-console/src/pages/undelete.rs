//! A connection that was deleted: until when it can be restored, what comes back then, and the form that restores it.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use credvault_proto::v1;
use maud::{Markup, html};

use super::{Done, Given, Shared};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::refusal::Refusal;
use crate::words::when;

/// The way to restore a deleted connection. It opens without a script.
pub(crate) fn form(
    console: &Console,
    fields: &Fields,
    connection: &v1::Connection,
) -> Result<Markup, Refusal> {
    let request_id = console.request_id()?;
    Ok(html! {
        p { "It is deleted, and purged at " (when(connection.purge_time.as_ref())) "." }
        details class="ask" {
            summary { "Undelete…" }
            form method="post" action="/connection/undelete" {
                (console.form_key()) (request_id)
                input type="hidden" name="tenant" value=(fields.tenant());
                input type="hidden" name="id" value=(connection.id);
                input type="hidden" name="etag" value=(connection.etag);
                p { (comes_back(connection)) }
                button class="act" { "Undelete this connection" }
            }
        }
    })
}

/// What the vault has of it again after that.
fn comes_back(connection: &v1::Connection) -> String {
    let credential = match connection.current_version {
        0 => "It comes back without a credential, because its versions were destroyed: its owner must connect it again."
            .to_owned(),
        version => format!("It comes back with its settings and version {version} of its credential."),
    };
    let served = if connection.enabled {
        "Services whose configs name it are served again at once."
    } else {
        "It stays disabled until you enable it."
    };
    format!("{credential} {served}")
}

/// Restores the connection of the form, if it is still as its page showed it.
pub(crate) async fn undelete(State(console): Shared, Extension(fields): Given) -> Done {
    let request = v1::UndeleteConnectionRequest {
        connection_id: fields.get("id").to_owned(),
        etag: fields.get("etag").to_owned(),
        request_id: fields.get("request_id").to_owned(),
    };
    console.vault.connections(fields.tenant())?.undelete_connection(request).await?;
    let page = [("tenant", fields.tenant()), ("id", fields.get("id")), ("done", "undeleted")];
    Ok(Redirect::to(&link("/connection", &page)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_said_before() {
        let with = |current_version, enabled| {
            comes_back(&v1::Connection { current_version, enabled, ..Default::default() })
        };
        assert!(with(3, true).contains("version 3") && with(3, true).contains("served again"));
        assert!(with(0, true).contains("without a credential"));
        assert!(with(3, false).contains("stays disabled"));
    }
}
