//! Whose things are: requests by the user who calls, records by the owner of what they are about.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::m0001_begin::dialect;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        for column in COLUMNS {
            db.execute_unprepared(&dialect(column, postgres)).await?;
        }
        if postgres {
            db.execute_unprepared(POSTGRES_REQUESTS).await?;
            db.execute_unprepared(APPEND_FUNCTION).await?;
        } else {
            db.execute_unprepared(&dialect(SQLITE_REQUESTS, false)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("records would lose what they say: restore a backup instead".to_owned()))
    }
}

const COLUMNS: &[&str] = &[
    // The user who owns the connection that a record is about: a call that does not reach that user does not see it.
    "ALTER TABLE audit_events ADD COLUMN owner_user {text}",
    "ALTER TABLE audit_events ADD COLUMN released {json}",
    // The circumstances in which a consent began: policy is asked about them again when a browser completes it.
    "ALTER TABLE authorizations ADD COLUMN tenant_source {text}",
    "ALTER TABLE authorizations ADD COLUMN source {text}",
];

/// A request id is one of a service's user; without a user it is one of the service. The previous release, which knows
/// no users here, writes and finds its own rows as before.
const POSTGRES_REQUESTS: &str = r"
ALTER TABLE requests ADD COLUMN user_id text NOT NULL DEFAULT '';
ALTER TABLE requests DROP CONSTRAINT requests_pkey;
ALTER TABLE requests ADD CONSTRAINT requests_pkey PRIMARY KEY (tenant_id, service, user_id, request_id);
";

/// SQLite cannot change a primary key in place.
const SQLITE_REQUESTS: &str = r"
CREATE TABLE requests_of_users (
    tenant_id {text} NOT NULL,
    service {text} NOT NULL,
    user_id {text} NOT NULL DEFAULT '',
    request_id {uuid} NOT NULL,
    fingerprint {bytes} NOT NULL,
    connection_id {uuid},
    version {int},
    create_time {int} NOT NULL,
    PRIMARY KEY (tenant_id, service, user_id, request_id)
){strict};
INSERT INTO requests_of_users (tenant_id, service, request_id, fingerprint, connection_id, version, create_time)
    SELECT tenant_id, service, request_id, fingerprint, connection_id, version, create_time FROM requests;
DROP TABLE requests;
ALTER TABLE requests_of_users RENAME TO requests;
CREATE INDEX requests_age ON requests (create_time);
";

/// Appends records with the new columns. The previous release gives rows without them, which are NULL then.
const APPEND_FUNCTION: &str = r"
CREATE OR REPLACE FUNCTION append_audit_events(p_events jsonb, p_used jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
DECLARE
    of_tenant jsonb;
BEGIN
    FOR of_tenant IN SELECT e FROM jsonb_array_elements(p_events) e LOOP
        PERFORM set_config('credvault.tenant', of_tenant ->> 'tenant', true);
        INSERT INTO audit_events (
            tenant_id, id, time, service, user_id, tenant_source, action, connection_id, provider, version, purpose,
            changed, outcome, reason, policies, trace_id, source, owner_user, released
        ) SELECT r.* FROM jsonb_to_recordset(of_tenant -> 'rows') AS r (
            tenant_id text, id uuid, time bigint, service text, user_id text, tenant_source text, action text,
            connection_id uuid, provider text, version bigint, purpose text, changed jsonb, outcome text, reason text,
            policies jsonb, trace_id text, source text, owner_user text, released jsonb
        );
    END LOOP;
    -- Rows that another transaction holds are skipped: a popular connection must not become a place to queue at.
    FOR of_tenant IN SELECT e FROM jsonb_array_elements(p_used) e LOOP
        PERFORM set_config('credvault.tenant', of_tenant ->> 'tenant', true);
        UPDATE connections c SET last_used_time = u.time
        FROM (
            SELECT r.id, max(r.time) AS time
            FROM jsonb_to_recordset(of_tenant -> 'rows') AS r (id uuid, time bigint) GROUP BY r.id
        ) u
        WHERE c.tenant_id = of_tenant ->> 'tenant' AND c.id = u.id AND c.id IN (
            SELECT l.id FROM connections l
            WHERE l.tenant_id = of_tenant ->> 'tenant' AND l.id = u.id
                AND (l.last_used_time IS NULL OR l.last_used_time < u.time - 60000000)
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END LOOP;
END $$;
";
