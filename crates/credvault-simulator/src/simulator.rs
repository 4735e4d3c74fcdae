//! A running simulator: starts it, changes its behaviour, and reads what it has seen. The endpoints are in the other files.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::behaviour::Behaviour;
use crate::ledger::{Family, Tokens};
use crate::listener::RefusingListener;
use crate::state::{Counts, Shared, closed};
use crate::{account, consent, control, keys, metadata, page, token, woocommerce};

/// The pause between two checks whether answers are still held back.
const HOLD_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A running provider. It stops when this is dropped; [`Simulator::stop`] waits until it has.
pub struct Simulator {
    shared: Arc<Shared>,
    open: watch::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Simulator {
    /// Starts to serve, on a port that the system chooses if the address has port 0.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (open, closing) = watch::channel(());
        let shared = Shared::new(listener.local_addr()?, closing.clone());
        let router = Router::new()
            .route("/", get(page::index))
            .route("/style.css", get(page::style))
            .route("/authorize", get(consent::authorize))
            .route("/decide", post(consent::decide))
            .route("/token", get(token::token).post(token::token))
            .route("/revoke", post(account::revoke))
            .route("/me", get(account::me))
            .route("/keys", post(keys::make))
            .route("/keys/roll", post(keys::roll))
            .route("/keys/{id}", delete(keys::revoke))
            .route("/.well-known/openid-configuration", get(metadata::openid))
            .route("/.well-known/oauth-authorization-server", get(metadata::oauth))
            .route("/register", post(metadata::register))
            .route("/wc-auth/v1/authorize", get(woocommerce::authorize))
            .route("/wc-auth/v1/decide", post(woocommerce::decide))
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), hold))
            .route("/control/behaviour", get(control::behaviour).put(control::behave))
            .route("/control/counts", get(control::counts))
            .route("/control/reset", post(control::reset))
            .with_state(Arc::clone(&shared));
        let listener = RefusingListener::new(listener, Arc::clone(&shared));
        let serving = axum::serve(listener, router).with_graceful_shutdown(closed(closing));
        Ok(Self { shared, open, serving: tokio::spawn(IntoFuture::into_future(serving)) })
    }

    /// The socket address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The URL that it listens on, such as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// Stops: refuses new connections, cuts waits short, and never sends answers that are held back.
    pub async fn stop(self) {
        let Self { shared: _, open, mut serving } = self;
        drop(open);
        // A client that neither reads nor hangs up keeps its connection, but does not keep us.
        if tokio::time::timeout(Duration::from_secs(1), &mut serving).await.is_err() {
            serving.abort();
        }
    }

    /// Changes the behaviour. Requests that have already arrived keep their step.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.shared.with(|state| change(&mut state.behaviour));
    }

    /// The counts of requests so far.
    pub fn counts(&self) -> Counts {
        self.shared.with(|state| state.counts)
    }

    /// Resets the count of the busiest second.
    pub fn forget_busiest(&self) {
        self.shared.with(|state| state.counts.refreshes_in_a_second_max = 0);
    }

    /// Every grant so far, the oldest first.
    pub fn families(&self) -> Vec<Family> {
        let now = Instant::now();
        self.shared.with(|state| {
            let ledger = &state.ledger;
            (0..ledger.families.len()).map(|family| ledger.describe(family, now)).collect()
        })
    }

    /// The grant of a refresh token, current or replaced.
    pub fn family_of(&self, refresh_token: &str) -> Option<Family> {
        let now = Instant::now();
        self.shared.with(|state| {
            let record = state.ledger.refresh_tokens.get(refresh_token)?;
            Some(state.ledger.describe(record.family, now))
        })
    }

    /// Makes a grant without a browser: always with a refresh token, and with an access token as the behaviour says.
    pub fn issue(&self, account: &str, scopes: &[&str]) -> Tokens {
        let (now, scopes) = (Instant::now(), scopes.iter().map(|&scope| scope.to_owned()).collect());
        self.shared.with(|state| {
            let (lifetime, ledger) = (state.behaviour.lifetime(), &mut state.ledger);
            let family = ledger.open(account, scopes);
            let refresh_token = ledger.put_refresh_token(family, 0, now);
            let granted = ledger.hand_out(family, None, lifetime, now);
            let expires_in = lifetime.map_or(0, |lifetime| lifetime.as_secs());
            Tokens { access_token: granted.access_token, refresh_token, expires_in }
        })
    }

    /// The assertions by which clients have proved who they are, the first one first.
    pub fn client_assertions(&self) -> Vec<String> {
        self.shared.with(|state| state.assertions.clone())
    }

    /// The assertions that were sent as the grant itself, the first one first.
    pub fn grant_assertions(&self) -> Vec<String> {
        self.shared.with(|state| state.grant_assertions.clone())
    }

    /// Forgets the clients that have registered themselves, as servers do after a while.
    pub fn forget_clients(&self) {
        self.shared.with(|state| state.clients.clear());
    }

    /// The ids of an account's API keys that were made and live, in their order.
    pub fn made_keys(&self, account: &str) -> Vec<String> {
        self.shared.with(|state| state.api_keys.ids(account))
    }

    /// Whether an API key lives.
    pub fn has_key(&self, key: &str) -> bool {
        self.shared.with(|state| state.api_keys.owner(key).is_some())
    }

    /// The user removes the app at the provider: all grants and keys of the account end.
    pub fn revoke_account(&self, account: &str) {
        self.shared.with(|state| state.revoke_account(account));
    }

    /// Forgets all grants, keys and counts, and restores the default behaviour.
    pub fn reset(&self) {
        self.shared.with(|state| state.reset());
    }
}

/// Holds an answer back while [`Behaviour::hold`] is on.
async fn hold(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    while shared.with(|state| state.behaviour.hold) {
        if !shared.pause(HOLD_POLL_INTERVAL).await {
            return token::cut();
        }
    }
    answer
}
