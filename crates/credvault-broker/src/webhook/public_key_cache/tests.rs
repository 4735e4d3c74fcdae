//! A provider that publishes keys, over real HTTP, and the number of requests that it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use credvault_catalog::Catalog;
use credvault_domain::ProviderId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::http::guard::Guard;
use crate::webhook::public_key_memory::{KEY_LIFETIME, MAX_LOOKUPS};

/// A key from the tests of eBay's `event-notification-nodejs-sdk`.
const KEY: &str = "-----BEGIN PUBLIC KEY-----MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZhhxXKtR+TOvtDbgTPCkSof02qgBB7IsYOyf76ilExJ/upAa/vKIKheOoCyOpcLmi4t0b4uepb7LLjmMr90FUg==-----END PUBLIC KEY-----";

struct Provider {
    catalog: Catalog,
    http: Http,
    /// The number of tokens that it gave, and of requests for a key.
    tokens: Arc<AtomicU32>,
    keys: Arc<AtomicU32>,
    /// Whether it answers anything but 500, and whether it still has the key.
    works: Arc<AtomicBool>,
    has: Arc<AtomicBool>,
}

impl Provider {
    /// Gives a token to the app, and the key `known` to requests with that token.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (tokens, keys) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (works, has) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let counts = (Arc::clone(&tokens), Arc::clone(&keys));
        let state = (Arc::clone(&works), Arc::clone(&has));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 8192];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let (status, body) = match answer(&request, &counts) {
                    _ if !state.0.load(Ordering::SeqCst) => (500, String::new()),
                    (200, _) if request.contains("/key/") && !state.1.load(Ordering::SeqCst) => {
                        (404, String::new())
                    }
                    answer => answer,
                };
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close", body.len());
                let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let file = format!(
            "id = 'keys'\ndisplay_name = 'Keys'\n[modes.key]\ndisplay_name = 'K'\nkind = 'static'\n\
             [webhooks.events]\nscheme = 'ebay'\n\
             [webhooks.events.public_keys]\n\
             token = {{ url = '{url}/token', basic = {{ user = '{{app.client_id}}', password = '{{app.client_secret}}' }},\
              form = {{ grant_type = 'client_credentials' }} }}\n\
             key = {{ url = '{url}/key/{{flow.key_id}}', headers = {{ Authorization = 'Bearer {{flow.token}}' }} }}\n"
        );
        std::fs::write(folder.path().join("keys.toml"), file).expect("a file");
        let catalog = Catalog::load(Some(folder.path())).expect("sound");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Http::new(Guard::new(vec!["127.0.0.0/8".parse().expect("a network")]));
        Self { catalog, http, tokens, keys, works, has }
    }

    async fn key(&self, cache: &PublicKeyCache, now: Timestamp, id: &str) -> Result<bool, TestError> {
        self.key_for("acme", cache, now, id).await
    }

    async fn key_for(
        &self,
        tenant: &str,
        cache: &PublicKeyCache,
        now: Timestamp,
        id: &str,
    ) -> Result<bool, TestError> {
        let tenant = TenantId::parse(tenant).expect("an id");
        let provider = self.catalog.get(&ProviderId::parse("keys").expect("an id")).expect("known");
        let keys = provider.webhooks["events"].public_keys.as_ref().expect("published");
        let app = App {
            client_id: "app".to_owned(),
            client_secret: Some("CANARY".into()),
            settings: Default::default(),
            secrets: Default::default(),
        };
        let (config, flow) = (Config::default(), Flow::default().with("key_id", id.to_owned()));
        let query = KeyQuery { tenant: &tenant, keys, config: &config, app: &app, flow: &flow };
        Ok(cache.key(&self.http, now, query).await?.is_some())
    }

    fn asked(&self) -> (u32, u32) {
        (self.tokens.load(Ordering::SeqCst), self.keys.load(Ordering::SeqCst))
    }
}

fn answer(request: &str, (tokens, keys): &(Arc<AtomicU32>, Arc<AtomicU32>)) -> (u16, String) {
    if request.starts_with("POST /token ") {
        tokens.fetch_add(1, Ordering::SeqCst);
        return (200, r#"{"access_token":"t-1","expires_in":7200}"#.to_owned());
    }
    keys.fetch_add(1, Ordering::SeqCst);
    match request {
        request if !request.contains("Bearer t-1") && !request.contains("bearer t-1") => (401, String::new()),
        request if request.starts_with("GET /key/known ") => (200, format!(r#"{{"key":"{KEY}"}}"#)),
        _ => (404, String::new()),
    }
}

fn noon() -> Timestamp {
    Timestamp::from_seconds(1_700_000_000, 0).expect("in range")
}

#[tokio::test]
async fn a_key_is_fetched_with_a_token_of_the_app_and_remembered_for_an_hour() {
    let (provider, cache) = (Provider::start().await, PublicKeyCache::default());
    let seconds = |seconds| noon().after(Duration::from_secs(seconds));
    assert!(provider.key(&cache, noon(), "known").await.expect("an answer"));
    assert_eq!(provider.asked(), (1, 1));
    assert!(provider.key(&cache, seconds(3599), "known").await.expect("an answer"));
    assert_eq!(provider.asked(), (1, 1), "remembered");
    assert!(provider.key(&cache, seconds(3600), "known").await.expect("an answer"));
    assert_eq!(provider.asked(), (1, 2), "looked up again, with the same token");
    assert!(provider.key(&cache, seconds(7201), "known").await.expect("an answer"));
    assert_eq!(provider.asked(), (2, 3), "the token has ended, too");
}

/// How many unknown keys one tenant can look up.
const OF_ONE: u32 = 15;

#[tokio::test]
async fn unknown_keys_are_looked_up_so_often_and_not_more_and_each_tenant_has_its_share() {
    let (provider, cache) = (Provider::start().await, PublicKeyCache::default());
    for attempt in 0..OF_ONE {
        let found = provider.key(&cache, noon(), &format!("unknown-{attempt}")).await;
        assert!(!found.expect("an answer"));
    }
    let more = provider.key(&cache, noon(), "unknown").await;
    assert!(matches!(more, Err(TestError::Throttled { retry }) if retry == LOOKUP_WINDOW), "{more:?}");
    assert_eq!(provider.asked(), (1, OF_ONE));
    // Others look up what is left, the last of them one at least.
    let mut asked = OF_ONE;
    for tenant in ["second", "third"] {
        for attempt in 0..MAX_LOOKUPS {
            let _ = provider.key_for(tenant, &cache, noon(), &format!("{tenant}-{attempt}")).await;
        }
        assert!(provider.asked().1 > asked, "{tenant}");
        asked = provider.asked().1;
    }
    assert_eq!(asked, MAX_LOOKUPS);
    assert!(provider.key(&cache, noon().after(LOOKUP_WINDOW), "known").await.expect("an answer"));
}

#[tokio::test]
async fn forged_ids_do_not_keep_a_known_key_from_being_fetched_anew() {
    let (provider, cache) = (Provider::start().await, PublicKeyCache::default());
    assert!(provider.key(&cache, noon(), "known").await.expect("an answer"));
    let later = noon().after(KEY_LIFETIME);
    for attempt in 0..=MAX_LOOKUPS {
        let _ = provider.key(&cache, later, &format!("unknown-{attempt}")).await;
    }
    assert_eq!(provider.asked(), (1, 1 + OF_ONE));
    assert!(provider.key(&cache, later, "known").await.expect("an answer"));
    assert_eq!(provider.asked(), (1, 2 + OF_ONE), "outside of the limit");
}

#[tokio::test]
async fn a_known_key_is_used_for_a_day_while_it_cannot_be_fetched() {
    let (provider, cache) = (Provider::start().await, PublicKeyCache::default());
    assert!(provider.key(&cache, noon(), "known").await.expect("an answer"));
    provider.works.store(false, Ordering::SeqCst);
    let seconds = |seconds| noon().after(Duration::from_secs(seconds));
    for (second, asked) in [(3600, 2), (3659, 2), (3660, 3)] {
        assert!(provider.key(&cache, seconds(second), "known").await.expect("an answer"));
        assert_eq!(provider.asked().1, asked, "once a minute");
    }
    let late = provider.key(&cache, seconds(24 * 3600), "known").await;
    assert!(matches!(late, Err(TestError::Unavailable)), "{late:?}");
    provider.works.store(true, Ordering::SeqCst);
    assert!(provider.key(&cache, seconds(24 * 3600), "known").await.expect("an answer"));
}

#[tokio::test]
async fn that_there_is_no_such_key_is_remembered_for_a_minute() {
    let (provider, cache) = (Provider::start().await, PublicKeyCache::default());
    for (pause, asked) in
        [(Duration::ZERO, 1), (LOOKUP_WINDOW - Duration::from_secs(1), 1), (LOOKUP_WINDOW, 2)]
    {
        assert!(!provider.key(&cache, noon().after(pause), "unknown").await.expect("an answer"));
        assert_eq!(provider.asked().1, asked);
    }
    // A key that the provider has withdrawn is not used any more, either.
    assert!(provider.key(&cache, noon(), "known").await.expect("an answer"));
    provider.has.store(false, Ordering::SeqCst);
    assert!(!provider.key(&cache, noon().after(KEY_LIFETIME), "known").await.expect("an answer"));
}
