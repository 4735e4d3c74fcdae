//! A receiver of events: a small HTTP server that keeps what it gets and answers as the test says.

use std::collections::{BTreeMap, VecDeque};
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// What to answer: a status and headers. `None` never answers.
pub type Reply = Option<(u16, Vec<(&'static str, String)>)>;

/// A running receiver. Without other orders it answers 204.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    received: Mutex<Vec<Received>>,
    replies: Mutex<VecDeque<Reply>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let inner = Arc::<Inner>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events?to=us", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner }
    }

    /// Answers the next requests with these statuses.
    pub fn answer(&self, statuses: &[u16]) {
        let replies = statuses.iter().map(|status| Some((*status, Vec::new())));
        self.inner.replies.lock().unwrap().extend(replies);
    }

    /// Answers the next request so.
    pub fn reply(&self, reply: Reply) {
        self.inner.replies.lock().unwrap().push_back(reply);
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.inner.received.lock().unwrap().len()
    }

    /// The types of what came.
    pub fn types(&self) -> Vec<String> {
        self.received().iter().map(|received| received.json()["type"].as_str().unwrap().to_owned()).collect()
    }
}

async fn answer(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    inner.received.lock().unwrap().push(Received { headers: headers.collect(), body: body.to_vec() });
    let reply = inner.replies.lock().unwrap().pop_front().unwrap_or(Some((204, Vec::new())));
    let Some((status, headers)) = reply else { std::future::pending().await };
    let headers: HeaderMap = headers
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    (StatusCode::from_u16(status).unwrap(), headers).into_response()
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// What the program in docs/events.md says to it: another implementation than the one that signs.
    pub fn verifies(&self, secret: &str) -> bool {
        let page = include_str!("../../../docs/events.md");
        let program = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
        let call = "import json, sys\nsecret, headers = sys.argv[1], json.loads(sys.argv[2])\n\
                    print(verify(secret, headers, bytes.fromhex(sys.argv[3])))\n";
        let body: String = self.body.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut python = Command::new("python3");
        python.args(["-c", &format!("{program}\n{call}"), secret]);
        python.args([serde_json::to_string(&self.headers).unwrap(), body]);
        let output = python.output().expect("python3 runs the program of docs/events.md");
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said == "True"
    }
}
