//! Retention of the audit log: rows of the earlier table may go once their records are in the log of their tenant.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "what was removed does not come back: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let of_one_database = if step::is_postgres(manager) { IN_POSTGRES } else { IN_SQLITE };
    step::run(manager, of_one_database.to_vec()).await
}

// The service may not delete from the table itself. The function removes what was moved in and is old, of the transaction's
// tenant alone: row-level security binds the owner, too.
const IN_POSTGRES: &[&str] =
    &[r"CREATE FUNCTION remove_moved_audit_events(p_tenant text, p_before uuid, p_most bigint)
    RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE
        removed bigint;
    BEGIN
        DELETE FROM audit_events WHERE tenant_id = p_tenant AND id = ANY (ARRAY(
            SELECT e.id FROM audit_events e
            WHERE e.tenant_id = p_tenant AND e.id < p_before
                AND e.id <= (SELECT m.position FROM audit_moves m WHERE m.tenant_id = p_tenant)
            ORDER BY e.id LIMIT p_most));
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN removed;
    END $$"];

const IN_SQLITE: &[&str] = &[
    "DROP TRIGGER audit_events_kept",
    "CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
     WHEN NOT EXISTS (SELECT 1 FROM audit_moves m WHERE m.tenant_id = OLD.tenant_id AND m.position >= OLD.id)
     BEGIN SELECT RAISE(ABORT, 'audit records are never deleted before they are in their log'); END",
];
