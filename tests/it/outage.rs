//! A thousand connections of four providers whose refresh tokens rotate, through hours of each illness that a provider
//! can have. Afterwards every grant lives: `docs/refresh.md`. The hours are those of the vault's clock.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::{Refusal, RetryAfter, Rotation, Simulator, Step};
use credvault_testkit::LeafSpec;
use futures::stream::StreamExt as _;

use crate::harness::provider::{STRICT, app_request, connection_request, provider_file, state};
use crate::harness::{Client, TestVault, VaultBuilder, by_id, eventually, input, refusal};

/// Connections of each provider.
const EACH: usize = 250;
/// How long an illness lasts, in steps of the clock: two hours.
const ILLNESS: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(840), Duration::from_secs(2700), Duration::from_secs(3600)];
const GRACE_TIME: Duration = Duration::from_secs(24 * 3600);

/// A provider, and what it does with a refresh token that was used.
struct Provider {
    simulator: Simulator,
    rotation: Rotation,
    ids: Vec<String>,
}

impl Provider {
    /// Whether an answer may be lost after its effect without ending the grant.
    fn forgives(&self) -> bool {
        !matches!(self.rotation, Rotation::Rotating { grace, .. } if grace.is_zero())
    }
}

fn rotations() -> [(&'static str, Rotation); 4] {
    let rotating = |grace, same| Rotation::Rotating { grace, same_answer_within_grace: same };
    [
        ("rotates = 'yes'", rotating(Duration::ZERO, false)),
        ("rotates = 'yes'\nidle_timeout_seconds = 7776000", rotating(Duration::ZERO, false)),
        ("rotates = 'yes'\ngrace_seconds = 86400", rotating(GRACE_TIME, true)),
        ("rotates = 'yes'\ngrace_seconds = 86400", rotating(GRACE_TIME, false)),
    ]
}

/// What is wrong, and whether requests take effect all the same.
fn illnesses() -> [(Step, bool); 14] {
    [
        (Step::Fail { status: 502, after_effect: false }, false),
        (Step::Fail { status: 504, after_effect: false }, false),
        (Step::HangUp, false),
        (Step::NotJson, false),
        // Pages of a firewall, and of a gateway that has lost its way.
        (Step::Fail { status: 403, after_effect: false }, false),
        (Step::Fail { status: 404, after_effect: false }, false),
        (Step::LoseAnswer, true),
        (Step::Fail { status: 500, after_effect: false }, false),
        (Step::Fail { status: 503, after_effect: false }, false),
        (Step::Throttle { retry_after: RetryAfter::Seconds(30) }, false),
        (Step::Redirect { to: "http://169.254.169.254/latest".into() }, false),
        (Step::Fail { status: 504, after_effect: true }, true),
        (Step::Refuse(Refusal::InvalidClient), false),
        (Step::Refuse(Refusal::InvalidRequest), false),
    ]
}

struct Drill {
    vault: TestVault,
    app: Client,
    providers: Vec<Provider>,
    browser: reqwest::Client,
}

impl Drill {
    async fn start() -> Self {
        let mut builder = VaultBuilder::sqlite()
            .allow_loopback()
            .settings(|settings, _| settings.broker.refreshes_per_second = 0);
        let mut providers = Vec::new();
        for (number, (refresh_section, rotation)) in rotations().into_iter().enumerate() {
            let simulator = Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
            simulator.behave(|behaviour| behaviour.rotation = rotation);
            let file = provider_file(&simulator.url(), refresh_section)
                .replace("id = 'simulator'", &format!("id = '{}'", name(number)));
            builder = builder.provider_file(&name(number), &file);
            providers.push(Provider { simulator, rotation, ids: Vec::new() });
        }
        let vault = builder.start().await;
        let operator = vault.client("operator").await;
        for number in 0..providers.len() {
            let request = v1::PutOAuthAppRequest { provider: name(number), ..app_request() };
            operator.admin().put_o_auth_app(request).await.unwrap();
        }
        vault.tenant("acme").await;
        // A certificate that lives as long as the drill.
        let month = time::Duration::days(30);
        let leaf =
            vault.authority.issue(&LeafSpec { ends: month, ..LeafSpec::service("spiffe://test.local/app") });
        let app = vault.client_with(&leaf).await.unwrap().acting_for("acme", None);
        Self { vault, app, providers, browser: reqwest::Client::new() }
    }

    /// Connections whose access tokens live for an hour.
    async fn connect(&mut self) {
        for (number, provider) in self.providers.iter_mut().enumerate() {
            let app = &self.app;
            let simulator = &provider.simulator;
            let one = |account: usize| async move {
                let tokens = simulator.issue(&format!("shop-{account}"), &["read"]);
                let request = v1::CreateConnectionRequest {
                    provider: name(number),
                    credential: Some(v1::CredentialInput {
                        expiry: Some(v1::credential_input::Expiry::Ttl(prost_types::Duration {
                            seconds: 3600,
                            nanos: 0,
                        })),
                        ..input(&[
                            ("access_token", tokens.access_token.as_str()),
                            ("refresh_token", tokens.refresh_token.as_str()),
                        ])
                    }),
                    ..connection_request(&format!("shop-{account}"))
                };
                app.create(request).await.unwrap().id
            };
            provider.ids = futures::stream::iter(0..EACH).map(one).buffered(16).collect().await;
        }
    }

    /// Hours of an illness. Callers get good tokens while these live, and are told the truth afterwards.
    async fn endure(&self, (step, takes_effect): &(Step, bool), tokens_live: bool) {
        for provider in &self.providers {
            if provider.forgives() || !*takes_effect {
                provider.simulator.behave(|behaviour| behaviour.steady = step.clone());
            }
        }
        for (number, pause) in ILLNESS.into_iter().enumerate() {
            self.vault.clock.advance(pause);
            for id in self.providers.iter().flat_map(|provider| provider.ids.iter().take(6)) {
                match self.app.fetch(by_id(id)).await {
                    Ok(credential) => assert!(self.accepts(&credential).await, "{step:?}: a dead token"),
                    Err(error) => {
                        assert!(number > 0 || !tokens_live, "{step:?}: its token lives: {error}");
                        truthful(step, &refusal(&error));
                    }
                }
            }
        }
    }

    /// The providers are well again: every connection recovers, by itself.
    async fn recover(&self, after: &str) {
        for provider in &self.providers {
            provider.simulator.behave(|behaviour| behaviour.steady = Step::Answer);
        }
        let all = (EACH * self.providers.len()) as i64;
        // No pause is longer than an hour. What is due then is asked for by the search, not by callers.
        for _ in 0..8 {
            self.vault.clock.advance(Duration::from_secs(1300));
            let mut left = all;
            for _ in 0..100 {
                left = all - self.count(WELL).await;
                if left == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if left == 0 {
                break;
            }
        }
        let ill = self.ill().await;
        assert!(ill.is_empty(), "{after}: {ill:?}");
        // One may be due again, and under way.
        eventually(after, || async { self.count(WELL).await == all }).await;
        for provider in &self.providers {
            let counts = provider.simulator.counts();
            if !provider.forgives() {
                assert_eq!(counts.reuses_detected, 0, "{after}: a token came twice without need");
            }
            for id in provider.ids.iter().step_by(25) {
                assert!(self.accepts(&self.app.fetch(by_id(id)).await.unwrap()).await, "{after}");
            }
        }
    }

    /// The connections that do not show as connected, and why.
    async fn ill(&self) -> Vec<String> {
        let mut ill = Vec::new();
        for (number, provider) in self.providers.iter().enumerate() {
            for id in &provider.ids {
                let (state, reason) = state(&self.app, id).await;
                if state != v1::ConnectionState::Connected {
                    ill.push(format!("{} {id}: {reason}, {:?}", name(number), provider.simulator.counts()));
                }
            }
        }
        ill
    }

    async fn count(&self, which: &str) -> i64 {
        self.vault.count(which).await
    }

    /// What the provider says to a fetched token.
    async fn accepts(&self, credential: &v1::Credential) -> bool {
        let auth = credential.request_auth.as_ref().unwrap();
        let asked = self.browser.get(format!("{}/me", auth.base_url));
        let asked = asked.header("authorization", &auth.headers["Authorization"]);
        asked.send().await.unwrap().status().is_success()
    }
}

/// Rows of refreshes that lack nothing.
const WELL: &str = "refreshes WHERE state = 'IDLE' AND failures = 0 AND unsettled_time IS NULL";

fn name(number: usize) -> String {
    format!("provider_{number}")
}

/// What a caller may be told while a provider is ill.
fn truthful(step: &Step, refusal: &str) {
    let not_understood = matches!(step, Step::Refuse(Refusal::InvalidRequest));
    let known = match refusal {
        "Unavailable PROVIDER_UNAVAILABLE" | "ResourceExhausted PROVIDER_RATE_LIMITED" => true,
        "FailedPrecondition REAUTHORIZATION_REQUIRED" => not_understood,
        _ => false,
    };
    assert!(known, "{step:?}: {refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_grant_outlives_every_illness_of_its_provider() {
    let mut drill = Drill::start().await;
    drill.connect().await;
    for group in illnesses().chunks(4) {
        for (number, illness) in group.iter().enumerate() {
            drill.endure(illness, number == 0).await;
        }
        drill.recover(&format!("{group:?}")).await;
    }
}

/// A time-out is not a lost answer: this one comes later than callers wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_takes_long_is_read_and_not_asked_for_again() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", -60).await;
    connected.provider.behave(|behaviour| behaviour.delay = Duration::from_secs(12));
    let request = v1::RefreshConnectionRequest { connection_id: id.clone() };
    let early = app.connections().refresh_connection(request).await.unwrap_err();
    assert_eq!(refusal(&early), "Unavailable PROVIDER_UNAVAILABLE");
    eventually("the answer", || async { app.fetch(by_id(&id)).await.is_ok() }).await;
    connected.provider.behave(|behaviour| behaviour.delay = Duration::ZERO);
    assert_eq!(connected.provider.counts().refreshes, 1);
    connected.chain_lives(&app, &id).await;
}

/// What is due when the vault stops is another replica's; what was asked for is waited for and stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_stops_asks_nothing_more_and_stores_what_comes() {
    let mut connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let ids = [connected.granted(&app, "one", 3600).await, connected.granted(&app, "two", 3600).await];
    connected.provider.behave(|behaviour| behaviour.delay = Duration::from_secs(3));
    let mut connections = app.connections();
    let connection_id = ids[0].clone();
    let call =
        async move { connections.refresh_connection(v1::RefreshConnectionRequest { connection_id }).await };
    let asked = tokio::spawn(call);
    eventually("it is asked", || async { connected.provider.counts().refreshes == 1 }).await;
    let instance = connected.vault.instance.take().unwrap();
    let due = connected.vault.sql("UPDATE refreshes SET due_time = 1 WHERE state = 'IDLE'");
    futures::join!(instance.stop(), due);
    asked.await.unwrap().unwrap();
    assert_eq!(connected.provider.counts().refreshes, 1, "what is due is not begun");
    connected.provider.behave(|behaviour| behaviour.delay = Duration::ZERO);
    connected.vault.start().await;
    let app = connected.vault.app("acme").await;
    for id in &ids {
        connected.chain_lives(&app, id).await;
    }
}
