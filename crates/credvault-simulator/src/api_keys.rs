//! The API keys of accounts: `sim_key_NAME`, which every account has from the beginning, and those that were made.

use std::collections::{HashMap, HashSet};

/// The prefix of the key that an account has from the beginning; the rest is the account.
const FIRST_PREFIX: &str = "sim_key_";

/// The keys that were made or have ended.
#[derive(Default)]
pub(crate) struct ApiKeys {
    /// The made keys that live, with the id and the account of each.
    made: HashMap<String, Key>,
    /// The accounts whose first key has ended.
    ended: HashSet<String>,
    last_id: u64,
}

/// A key that was made.
struct Key {
    id: String,
    account: String,
}

impl ApiKeys {
    /// Whose key this is, if it lives, and whether it was made.
    pub(crate) fn owner(&self, key: &str) -> Option<(String, bool)> {
        if let Some(made) = self.made.get(key) {
            return Some((made.account.clone(), true));
        }
        let account = key.strip_prefix(FIRST_PREFIX).filter(|account| !account.is_empty())?;
        (!self.ended.contains(account)).then(|| (account.to_owned(), false))
    }

    /// Makes a key of an account, and gives its id.
    pub(crate) fn make(&mut self, key: String, account: String) -> String {
        self.last_id += 1;
        let id = format!("key_{}", self.last_id);
        self.made.insert(key, Key { id: id.clone(), account });
        id
    }

    /// Ends a key for good.
    pub(crate) fn end(&mut self, key: &str) {
        if self.made.remove(key).is_none()
            && let Some(account) = key.strip_prefix(FIRST_PREFIX)
        {
            self.ended.insert(account.to_owned());
        }
    }

    /// Ends the key of an account with this id; the id of an account's first key is the account. Whether there was one.
    pub(crate) fn end_by_id(&mut self, account: &str, id: &str) -> bool {
        if id == account {
            return self.ended.insert(account.to_owned());
        }
        let before = self.made.len();
        self.made.retain(|_, key| key.account != account || key.id != id);
        self.made.len() < before
    }

    /// Ends all keys of an account that were made.
    pub(crate) fn end_made(&mut self, account: &str) {
        self.made.retain(|_, key| key.account != account);
    }

    /// The ids of an account's made keys that live.
    pub(crate) fn ids(&self, account: &str) -> Vec<String> {
        let of_account = self.made.values().filter(|key| key.account == account);
        let mut ids: Vec<String> = of_account.map(|key| key.id.clone()).collect();
        ids.sort();
        ids
    }
}
