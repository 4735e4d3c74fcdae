//! Sessions of the connect page. A service makes one for its verified user. The token in its URL opens it once, for one
//! browser, within the session's time.
//!
//! The table has hashes of token and cookie, and a keyed hash of everything that says whose the session is and what it may do.
//! So a reader of the table cannot open a page, and a writer cannot make or change a session.

pub(crate) mod end;
pub(crate) mod found;
pub(crate) mod made;
mod row;

use crate::Store;

/// The repository of sessions of the connect page.
#[derive(Clone, Copy, Debug)]
pub struct ConnectSessions<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of sessions of the connect page.
    pub fn connect_sessions(&self) -> ConnectSessions<'_> {
        ConnectSessions { store: self }
    }
}
