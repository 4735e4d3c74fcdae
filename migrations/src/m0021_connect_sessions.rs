//! Sessions of the connect page: for whom a page is, what it may do, and which browser has opened it.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "open connect pages would end: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // No sealed bytes here: a browser that brings a token has no tenant yet, so the search goes across tenants.
    step::add(manager, STATEMENTS, &[("connect_sessions", true)]).await
}

const STATEMENTS: &[&str] = &[
    r"CREATE TABLE connect_sessions (
        tenant_id {text} NOT NULL,
        id {uuid} NOT NULL,
        -- The hash of the token in the URL, which opens the session once.
        token_hash {bytes} NOT NULL CHECK ({octets}(token_hash) = 32),
        -- The hash of the cookie of the browser that has opened it.
        browser_hash {bytes},
        -- The service that made it, for this user, in these circumstances: policy is asked about them again.
        service {text} NOT NULL,
        user_id {text} NOT NULL,
        tenant_source {text} NOT NULL,
        source_address {text} NOT NULL,
        -- What the page may do, as JSON: byte for byte what the proof is about, so not json.
        terms {text} NOT NULL,
        -- The tenant's key that the proof is made with.
        key_version {int} NOT NULL,
        -- A keyed hash of all of this: who can write rows cannot make a session.
        proof {bytes} NOT NULL CHECK ({octets}(proof) = 32),
        create_time {int} NOT NULL,
        expire_time {int} NOT NULL,
        open_time {int},
        PRIMARY KEY (tenant_id, id),
        CHECK ((browser_hash IS NULL) = (open_time IS NULL))
    ){strict}",
    "CREATE INDEX connect_sessions_token ON connect_sessions (token_hash)",
    "CREATE INDEX connect_sessions_id ON connect_sessions (id)",
    "CREATE INDEX connect_sessions_user ON connect_sessions (tenant_id, user_id)",
    "CREATE INDEX connect_sessions_age ON connect_sessions (expire_time)",
];
