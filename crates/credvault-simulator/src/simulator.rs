//! The simulator as tests hold it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::behaviour::Behaviour;
use crate::ledger::{Family, Tokens};
use crate::listener::Door;
use crate::state::{Counts, Shared, closed};
use crate::{account, consent, control, page, token, woocommerce};

/// The id of the app that is registered.
pub const CLIENT_ID: &str = "simulator-client";
/// Its secret.
pub const CLIENT_SECRET: &str = "simulator-secret";
/// Its other secret, which works under [`Behaviour::second_secret`].
pub const SECOND_CLIENT_SECRET: &str = "simulator-secret-2";

/// How often it is looked whether answers are still held back.
const LOOK: Duration = Duration::from_millis(10);

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
            .route("/wc-auth/v1/authorize", get(woocommerce::authorize))
            .route("/wc-auth/v1/decide", post(woocommerce::decide))
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), hold))
            .route("/control/behaviour", get(control::behaviour).put(control::behave))
            .route("/control/counts", get(control::counts))
            .route("/control/reset", post(control::reset))
            .with_state(Arc::clone(&shared));
        let door = Door::new(listener, Arc::clone(&shared));
        let serving = axum::serve(door, router).with_graceful_shutdown(closed(closing));
        Ok(Self { shared, open, serving: tokio::spawn(IntoFuture::into_future(serving)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Where it listens, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// Stops: new connections are refused, waits are cut short, what is held back is never answered.
    pub async fn stop(self) {
        let Self { shared: _, open, mut serving } = self;
        drop(open);
        // A client that neither reads nor hangs up keeps its connection, but does not keep us.
        if tokio::time::timeout(Duration::from_secs(1), &mut serving).await.is_err() {
            serving.abort();
        }
    }

    /// Turns the switches. Requests that have arrived keep the step that they drew.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.shared.with(|state| change(&mut state.behaviour));
    }

    /// What arrived so far.
    pub fn counts(&self) -> Counts {
        self.shared.with(|state| state.counts)
    }

    /// Begins to look for the busiest second anew.
    pub fn forget_busiest(&self) {
        self.shared.with(|state| state.counts.refreshes_in_a_second_max = 0);
    }

    /// Every grant so far, in order.
    pub fn families(&self) -> Vec<Family> {
        let now = Instant::now();
        self.shared.with(|state| {
            let ledger = &state.ledger;
            (0..ledger.families.len()).map(|family| ledger.describe(family, now)).collect()
        })
    }

    /// The grant that a refresh token, whether current or replaced, belongs to.
    pub fn family_of(&self, refresh_token: &str) -> Option<Family> {
        let now = Instant::now();
        self.shared.with(|state| {
            let record = state.ledger.refresh_tokens.get(refresh_token)?;
            Some(state.ledger.describe(record.family, now))
        })
    }

    /// Grants without a browser: a refresh token in any case, and an access token as the switches say.
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

    /// The user removes the app at the provider: all grants and keys of the account end.
    pub fn revoke_account(&self, account: &str) {
        self.shared.with(|state| state.revoke_account(account));
    }

    /// Forgets all grants, keys and counts, and sets the switches back.
    pub fn reset(&self) {
        self.shared.with(|state| state.reset());
    }
}

/// Holds an answer back for as long as the behaviour says.
async fn hold(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    while shared.with(|state| state.behaviour.hold) {
        if !shared.pause(LOOK).await {
            return token::cut();
        }
    }
    answer
}
