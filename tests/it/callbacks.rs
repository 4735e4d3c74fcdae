//! Callbacks that fail, in every spelling: with a state and without, with the browser's cookie and without, in the browser
//! that began and in another one. The page that waits hears of its own failures and of nothing else.

mod failures;
mod pages;

use std::collections::BTreeMap;

use crate::browser::connected;
use crate::harness::browser::Browser;
use crate::harness::provider::Connected;
use crate::harness::{Client, VaultBuilder};

async fn setting(builder: VaultBuilder) -> (Connected, Client, Browser) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let browser = Browser::of(&connected);
    (connected, app, browser)
}

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
