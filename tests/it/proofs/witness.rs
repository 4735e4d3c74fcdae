//! A small witness over real HTTP, from the text of C2SP tlog-witness: it keeps the newest state of each log, checks that the
//! next one continues it, and cosigns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use credvault_audit::{AddCheckpoint, Hash, KeyKind, Origin, SigningKey, Trust, VerifierKey};

const NAME: &str = "witness.test/w1";

/// A running witness, reached at its URL.
#[derive(Clone)]
pub struct Witness {
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    key: SigningKey,
    state: Mutex<Seen>,
}

/// What the witness knows.
#[derive(Default)]
struct Seen {
    /// The keys of the logs that it cosigns.
    logs: Vec<VerifierKey>,
    newest: BTreeMap<Origin, (u64, Hash)>,
    conflicts: usize,
}

impl Witness {
    pub async fn start() -> Self {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let inner = Arc::new(Inner { key, state: Mutex::default() });
        let router = Router::new().route("/w/add-checkpoint", post(answer)).with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/w", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner }
    }

    pub fn key(&self) -> VerifierKey {
        self.inner.key.verifier(Origin::parse(NAME).unwrap(), KeyKind::Witness)
    }

    /// Cosigns the log of these keys from now on.
    pub fn trust(&self, keys: &[String]) {
        let keys = keys.iter().map(|key| key.parse().unwrap());
        self.inner.state.lock().unwrap().logs.extend(keys);
    }

    /// How often it was asked from another size than it has cosigned.
    pub fn conflicts(&self) -> usize {
        self.inner.state.lock().unwrap().conflicts
    }
}

async fn answer(State(inner): State<Arc<Inner>>, body: String) -> (StatusCode, String) {
    let refused = |status: StatusCode| (status, String::new());
    let Ok(request) = AddCheckpoint::parse(&body) else { return refused(StatusCode::BAD_REQUEST) };
    let said = request.checkpoint.unverified().clone();
    let mut seen = inner.state.lock().unwrap();
    if !seen.logs.iter().any(|key| *key.name() == said.origin) {
        return refused(StatusCode::NOT_FOUND);
    }
    if Trust::new(seen.logs.clone(), 0).verify(&request.checkpoint).is_err() {
        return refused(StatusCode::FORBIDDEN);
    }
    let empty = (0, Hash::of_empty_tree());
    let (size, root) = seen.newest.get(&said.origin).copied().unwrap_or(empty);
    if request.old_size != size {
        seen.conflicts += 1;
        return (StatusCode::CONFLICT, format!("{size}\n"));
    }
    let is_continued = match size {
        0 => request.proof.is_empty(),
        _ => roots(size, said.size, root, &request.proof, true) == Some((root, said.root)),
    };
    if !is_continued {
        return refused(StatusCode::UNPROCESSABLE_ENTITY);
    }
    seen.newest.insert(said.origin, (said.size, said.root));
    let cosignature = request.checkpoint.cosign(&inner.key, Origin::parse(NAME).unwrap(), 1_764_230_400);
    (StatusCode::OK, cosignature.to_string())
}

/// The roots of both trees that a consistency proof leads to: the recursion of RFC 6962, section 2.1.2, read backwards. `root` is
/// that of the earlier tree, which the proof leaves out if it is a whole subtree.
fn roots(earlier: u64, size: u64, root: Hash, proof: &[Hash], is_whole: bool) -> Option<(Hash, Hash)> {
    if earlier == size {
        return match (is_whole, proof) {
            (true, []) => Some((root, root)),
            (false, [only]) => Some((*only, *only)),
            _ => None,
        };
    }
    let (last, rest) = proof.split_last()?;
    let left = size.next_power_of_two() / 2;
    if earlier <= left {
        let (old, new) = roots(earlier, left, root, rest, is_whole)?;
        return Some((old, Hash::of_node(new, *last)));
    }
    let (old, new) = roots(earlier - left, size - left, root, rest, false)?;
    Some((Hash::of_node(*last, old), Hash::of_node(*last, new)))
}
