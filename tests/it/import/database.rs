//! Rows of a PostgreSQL database, all of them or none.

use super::{import, started};
use crate::harness::VaultBuilder;

const TABLE: &str = "pixelpim.UserIntegrationCredentials";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_from_a_database() {
    let vault = started(VaultBuilder::postgres()).await;
    vault.tenant("acme").await;
    let database = vault.database.as_ref().unwrap();
    database.psql(
        r#"CREATE SCHEMA pixelpim; CREATE TABLE pixelpim."UserIntegrationCredentials" (id int, "userId" int, "integrationType" text, credentials jsonb, "isActive" bool, "createdAt" timestamptz DEFAULT now());
           INSERT INTO pixelpim."UserIntegrationCredentials" SELECT n, n, 'woocommerce', jsonb_build_object('apiUrl', 'https://example.com', 'consumerKey', 'ck_' || lpad(n::text, 40, '0'), 'consumerSecret', 'cs_' || lpad(n::text, 40, '0')), n > 1 FROM generate_series(1, 1200) n;
           GRANT USAGE ON SCHEMA pixelpim TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA pixelpim TO PUBLIC"#,
    );
    let of = |url: &str| ["pixelpim", "--from", url, "--table", TABLE, "--tenant", "acme"].map(str::to_owned);
    let run =
        async |arguments: [String; 7]| import(&vault, "app", &arguments.each_ref().map(String::as_str)).await;
    let all = run(of(&database.migrate_url)).await;
    assert_eq!(all.outcome(), (0, [1200, 0, 0]), "{}", all.shown);
    assert_eq!(vault.count("connections WHERE NOT enabled").await, 1);

    // A policy would show this role two rows. The import fails instead of missing the others, until the role may see all.
    let role = format!("mover_{}", database.owner_role);
    database.psql(&format!(
        r#"CREATE ROLE {role} LOGIN PASSWORD 'test-CANARY-mover';
           ALTER TABLE pixelpim."UserIntegrationCredentials" ENABLE ROW LEVEL SECURITY;
           ALTER TABLE pixelpim."UserIntegrationCredentials" FORCE ROW LEVEL SECURITY;
           CREATE POLICY few ON pixelpim."UserIntegrationCredentials" USING (id <= 2)"#
    ));
    let (_, place) = database.migrate_url.split_once('@').unwrap();
    let url = format!("postgres://{role}:test-CANARY-mover@{place}");
    let refused = run(of(&url)).await;
    assert_eq!(refused.code, 2, "{}", refused.shown);
    for told in ["row-level security policy for table", "UserIntegrationCredentials", "BYPASSRLS"] {
        assert!(refused.shown.contains(told), "{}", refused.shown);
    }
    database.psql(&format!("ALTER ROLE {role} BYPASSRLS"));
    let all = run(of(&url)).await;
    assert_eq!(all.outcome(), (0, [0, 1200, 0]), "{}", all.shown);
}
