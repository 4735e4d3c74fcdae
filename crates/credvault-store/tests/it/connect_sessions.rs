//! Sessions of the connect page: opened once, by one browser, within their time; ended with their user and tenant; and of no use
//! to a reader or writer of the table.

use std::time::Duration;

use credvault_domain::{
    Action, ConnectAction, ConnectTerms, ConnectionId, ServiceId, TenantScope, TenantSource, TenantState,
    UserId,
};
use credvault_store::{ConnectSessionError, Error, MadeConnectSession, NewConnectSession};
use secrecy::ExposeSecret as _;

use crate::fixture::{Fixture, soon, write};
use crate::on_both;

const BROWSER: &str = "CANARY a browser";
const HALF_HOUR: Duration = Duration::from_secs(1800);

fn new_session(user: &str) -> NewConnectSession {
    NewConnectSession {
        service: ServiceId::parse("spiffe://test/service").unwrap(),
        user: UserId::parse(user).unwrap(),
        tenant_source: TenantSource::Header,
        source_address: "127.0.0.1".parse().unwrap(),
        terms: ConnectTerms {
            providers: Vec::new(),
            actions: vec![ConnectAction::Test],
            manages_shared: false,
            origin: Some("https://app.example.com".to_owned()),
            return_url: None,
            language: "en".to_owned(),
        },
        lifetime: HALF_HOUR,
    }
}

async fn make(fixture: &Fixture, scope: &TenantScope, user: &str) -> Result<MadeConnectSession, Error> {
    let create = write(scope, Action::CreateConnectSession);
    let made = fixture.store.connect_sessions().create(scope, &new_session(user), &create).await?;
    Ok(made.into_inner())
}

/// Opens the session of a token, as a browser does.
async fn open(fixture: &Fixture, made: &MadeConnectSession, browser: &str) -> Result<(), Error> {
    let sessions = fixture.store.connect_sessions();
    let session = sessions.find(made.token.expose_secret()).await?;
    sessions.open(&session, browser).await
}

fn refused(result: Result<(), Error>) -> ConnectSessionError {
    match result {
        Err(Error::ConnectSession(error)) => error,
        other => panic!("{other:?}"),
    }
}

on_both![
    a_session_is_opened_once_and_by_one_browser,
    of_many_browsers_at_once_one_opens_a_session,
    a_session_ends_with_its_time,
    a_session_ends_with_its_tenant_and_its_user,
    a_user_with_too_many_sessions_loses_the_oldest,
    no_column_that_decides_something_can_be_altered,
    the_table_holds_nothing_that_opens_a_session,
];

async fn a_session_is_opened_once_and_by_one_browser(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let made = make(fixture, &scope, "u1").await.unwrap();
    let sessions = fixture.store.connect_sessions();
    let unopened = sessions.get(made.id).await.unwrap();
    assert_eq!(unopened.check_browser(Some(BROWSER)), Err(ConnectSessionError::Foreign), "no browser's yet");
    open(fixture, &made, BROWSER).await.unwrap();
    open(fixture, &made, BROWSER).await.unwrap();
    for other in ["another browser", "", "CANARY a browseR"] {
        assert_eq!(refused(open(fixture, &made, other).await), ConnectSessionError::Foreign, "{other}");
    }
    // What was read before the first browser came does not help a second one.
    assert_eq!(refused(sessions.open(&unopened, "late").await), ConnectSessionError::Foreign);
    let session = sessions.get(made.id).await.unwrap();
    session.check_browser(Some(BROWSER)).unwrap();
    assert_eq!(session.check_browser(None), Err(ConnectSessionError::Foreign));
    assert_eq!(session.terms, new_session("u1").terms);
    assert_eq!(session.maker.user, Some(UserId::parse("u1").unwrap()));
    assert_eq!(session.tenant, *scope.tenant());
    // It is on record by its name, and no record has its token.
    let record = "SELECT changed AS v FROM audit_events WHERE action = 'CreateConnectSession'";
    let record =
        if fixture.postgres.is_some() { record.replace("changed", "changed::text") } else { record.into() };
    let changed = fixture.text(&record).await;
    assert!(changed.contains(&format!("connect_sessions/{}", made.id)), "{changed}");
    assert!(!changed.contains(made.token.expose_secret()));
    sessions.end(&session).await.unwrap();
    assert_eq!(refused(open(fixture, &made, BROWSER).await), ConnectSessionError::Unknown);
    assert!(matches!(sessions.get(made.id).await, Err(Error::ConnectSession(ConnectSessionError::Unknown))));
}

async fn of_many_browsers_at_once_one_opens_a_session(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let made = make(fixture, &scope, "u1").await.unwrap();
    let sessions = fixture.store.connect_sessions();
    let session = sessions.get(made.id).await.unwrap();
    let browsers: Vec<String> = (0..8).map(|number| format!("browser {number}")).collect();
    let tries = browsers.iter().map(|browser| sessions.open(&session, browser));
    let opened = futures::future::join_all(tries).await;
    assert_eq!(opened.iter().filter(|result| result.is_ok()).count(), 1, "{opened:?}");
    let session = sessions.get(made.id).await.unwrap();
    for (browser, result) in browsers.iter().zip(&opened) {
        assert_eq!(session.check_browser(Some(browser)).is_ok(), result.is_ok(), "{browser}");
    }
}

async fn a_session_ends_with_its_time(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let opened = make(fixture, &scope, "u1").await.unwrap();
    let unopened = make(fixture, &scope, "u1").await.unwrap();
    open(fixture, &opened, BROWSER).await.unwrap();
    fixture.clock.advance(HALF_HOUR - Duration::from_secs(1));
    open(fixture, &opened, BROWSER).await.unwrap();
    assert!(!fixture.store.connect_sessions().get(opened.id).await.unwrap().is_over);
    fixture.clock.advance(Duration::from_secs(1));
    for made in [&opened, &unopened] {
        assert_eq!(refused(open(fixture, made, BROWSER).await), ConnectSessionError::Expired);
        assert!(fixture.store.connect_sessions().get(made.id).await.unwrap().is_over);
    }
    // For an hour a late browser reads why; then the rows go.
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("connect_sessions").await, 2);
    fixture.clock.advance(Duration::from_secs(3601));
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("connect_sessions").await, 0);
}

async fn a_session_ends_with_its_tenant_and_its_user(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let mine = make(fixture, &acme, "u1").await.unwrap();
    let theirs = make(fixture, &acme, "u2").await.unwrap();
    let elsewhere = make(fixture, &other, "u1").await.unwrap();
    let (user, delete) = (UserId::parse("u1").unwrap(), write(&acme, Action::DeleteUser));
    fixture.store.users().delete(&acme, &user, None, &delete, soon()).await.unwrap().into_inner();
    assert_eq!(refused(open(fixture, &mine, BROWSER).await), ConnectSessionError::Unknown);
    open(fixture, &theirs, BROWSER).await.unwrap();
    open(fixture, &elsewhere, BROWSER).await.unwrap();
    // A tenant that is resumed does not get the pages back.
    for (state, action) in
        [(TenantState::Suspended, Action::SuspendTenant), (TenantState::Active, Action::ResumeTenant)]
    {
        let tenants = fixture.store.tenants();
        tenants.set_state(&acme, state, &write(&acme, action)).await.unwrap().into_inner();
        assert_eq!(refused(open(fixture, &theirs, BROWSER).await), ConnectSessionError::Unknown);
        assert_eq!(make(fixture, &acme, "u2").await.is_ok(), state == TenantState::Active);
    }
    open(fixture, &elsewhere, BROWSER).await.unwrap();
}

async fn a_user_with_too_many_sessions_loses_the_oldest(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = make(fixture, &acme, "u2").await.unwrap();
    let first = make(fixture, &acme, "u1").await.unwrap();
    let mut last = make(fixture, &acme, "u1").await.unwrap();
    for _ in 0..9 {
        last = make(fixture, &acme, "u1").await.unwrap();
    }
    assert_eq!(fixture.count("connect_sessions WHERE user_id = 'u1'").await, 10);
    assert_eq!(refused(open(fixture, &first, BROWSER).await), ConnectSessionError::Unknown);
    open(fixture, &last, BROWSER).await.unwrap();
    open(fixture, &other, BROWSER).await.unwrap();
}

async fn no_column_that_decides_something_can_be_altered(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    fixture.tenant("other").await;
    let terms = r#"{"providers":[],"actions":["remove"],"manages_shared":true,"origin":null,"return_url":null,"language":""}"#;
    let altered = format!("terms = '{terms}'");
    for change in [
        "user_id = 'u2'",
        "tenant_id = 'other'",
        "service = 'spiffe://test/other'",
        "tenant_source = 'token'",
        "source_address = '127.0.0.2'",
        altered.as_str(),
        "expire_time = expire_time + 1",
        "create_time = create_time - 1",
        "browser_hash = token_hash, open_time = 1",
        "proof = token_hash",
    ] {
        let made = make(fixture, &acme, "u1").await.unwrap();
        let id = fixture.id(ConnectionId::from_uuid(made.id.as_uuid()));
        open(fixture, &made, BROWSER).await.unwrap();
        assert_eq!(
            fixture.execute(&format!("UPDATE connect_sessions SET {change} WHERE id = {id}")).await,
            1
        );
        let found = fixture.store.connect_sessions().get(made.id).await;
        assert!(matches!(found, Err(Error::Integrity)), "{change}: {found:?}");
        fixture.execute(&format!("DELETE FROM connect_sessions WHERE id = {id}")).await;
    }
    // Under a key that is not there any more, it has ended and nothing is wrong.
    let made = make(fixture, &acme, "u1").await.unwrap();
    fixture.execute("UPDATE connect_sessions SET key_version = 9").await;
    assert_eq!(refused(open(fixture, &made, BROWSER).await), ConnectSessionError::Unknown);
    // A session outlives a new key of its tenant.
    let made = make(fixture, &acme, "u1").await.unwrap();
    fixture.add_key(acme.tenant()).await;
    open(fixture, &made, BROWSER).await.unwrap();
}

async fn the_table_holds_nothing_that_opens_a_session(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let made = make(fixture, &acme, "u1").await.unwrap();
    open(fixture, &made, BROWSER).await.unwrap();
    let hexadecimal = if fixture.postgres.is_some() {
        "SELECT encode(token_hash, 'hex') || encode(browser_hash, 'hex') || terms AS v FROM connect_sessions"
    } else {
        "SELECT hex(token_hash) || hex(browser_hash) || terms AS v FROM connect_sessions"
    };
    let row = fixture.text(hexadecimal).await.to_lowercase();
    for secret in [made.token.expose_secret(), BROWSER] {
        let bytes: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!row.contains(&bytes) && !row.contains(&secret.to_lowercase()), "{row}");
    }
    // What the table holds is no token either.
    let hash = &row[..64];
    let found = fixture.store.connect_sessions().find(hash).await;
    assert!(matches!(found, Err(Error::ConnectSession(ConnectSessionError::Unknown))), "{found:?}");
}
