//! Tokens that confirm nothing: unknown, replaced, foreign, expired, of a tenant that has changed, and used.

use std::time::Duration;

use credvault_domain::{Action, AuditEvent, ServiceId, TenantScope, TenantState};
use credvault_store::{ConfirmationError, Error, Recorded, Write};

use super::{asked, confirm, erase, tenant_with_rows, text_of};
use crate::fixture::{Fixture, event, permit, soon, write};
use crate::on_both;

on_both![a_token_counts_only_while_it_is_the_newest_and_for_its_caller_and_tenant, a_used_token_says_so];

fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> ConfirmationError {
    match result {
        Err(Error::Confirmation(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn by_another_service(scope: &TenantScope) -> Write {
    let service = Some(ServiceId::parse("spiffe://test/other").unwrap());
    Write::new(&permit(), AuditEvent { service, ..event(scope, Action::EraseTenant) }, None)
}

async fn a_token_counts_only_while_it_is_the_newest_and_for_its_caller_and_tenant(fixture: &Fixture) {
    let (acme, connection) = tenant_with_rows(fixture, "acme").await;
    let (other, of_other) = tenant_with_rows(fixture, "other").await;
    let unasked = "CANARY".to_owned().into();
    assert_eq!(reason(confirm(fixture, &acme, &unasked).await), ConfirmationError::Unknown);
    let first = asked(fixture, &acme).await;
    let newest = asked(fixture, &acme).await;
    assert_ne!(text_of(&first), text_of(&newest));
    assert_eq!(reason(confirm(fixture, &acme, &first).await), ConfirmationError::Unknown);
    let of_another_tenant = asked(fixture, &other).await;
    assert_eq!(reason(confirm(fixture, &acme, &of_another_tenant).await), ConfirmationError::Unknown);
    let erasures = fixture.store.erasures();
    let foreign = erasures.confirm(&acme, &newest, &by_another_service(&acme), soon()).await;
    assert_eq!(reason(foreign.map(Recorded::into_inner)), ConfirmationError::Foreign);

    // Suspended and resumed: who confirms should look again.
    for state in [TenantState::Suspended, TenantState::Active] {
        let change = write(&acme, Action::SuspendTenant);
        fixture.store.tenants().set_state(&acme, state, &change).await.unwrap().into_inner();
    }
    assert_eq!(reason(confirm(fixture, &acme, &newest).await), ConfirmationError::Changed);
    let late = asked(fixture, &acme).await;
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(reason(confirm(fixture, &acme, &late).await), ConfirmationError::Expired);
    assert_eq!(fixture.fetch(&acme, connection).await.unwrap(), "CANARY second", "nothing was changed");
    assert_eq!(fixture.fetch(&other, of_other).await.unwrap(), "CANARY second");
    assert_eq!(fixture.count("erasures").await, 0);

    let in_time = asked(fixture, &acme).await;
    fixture.clock.advance(Duration::from_secs(599));
    confirm(fixture, &acme, &in_time).await.unwrap();
}

async fn a_used_token_says_so(fixture: &Fixture) {
    let (acme, _) = tenant_with_rows(fixture, "acme").await;
    let (old, token) = (asked(fixture, &acme).await, asked(fixture, &acme).await);
    let erasure = confirm(fixture, &acme, &token).await.unwrap();
    assert_eq!(reason(confirm(fixture, &acme, &token).await), ConfirmationError::Used);
    let with_an_old_one = confirm(fixture, &acme, &old).await;
    assert!(matches!(with_an_old_one, Err(Error::TenantNotFound(_))), "{with_an_old_one:?}");
    let never_there = crate::fixture::scope("nowhere", None);
    let asked = fixture.store.erasures().request(&never_there, &erase(&never_there)).await;
    assert!(matches!(asked, Err(Error::TenantNotFound(_))), "{asked:?}");
    assert_eq!(fixture.store.erasures().get(&acme).await.unwrap(), erasure);
}
