//! The ledger of grants: families of tokens, one for each consent or other grant, and the codes that lead to them.
//!
//! A family holds every token that descends from one grant. It is never removed, so that the simulator recognizes a token
//! that was replaced long ago.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::opaque::Opaque;

/// The lifetime of a code.
const CODE_LIFE: Duration = Duration::from_secs(5 * 60);

/// Tokens that were granted without a browser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tokens {
    /// The token that `/me` accepts.
    pub access_token: String,
    /// The token that renews the access token.
    pub refresh_token: String,
    /// Seconds that the access token lives; 0: for ever.
    pub expires_in: u64,
}

/// The present state of one grant.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Family {
    /// The account that gave the grant.
    pub account: String,
    /// The generation of the newest refresh token: 0 for the first, 1 for what that was replaced with.
    pub generation: u64,
    /// Whether the grant has ended: the user or the app revoked it, or a used token came again.
    pub revoked: bool,
    /// Requests to renew it that arrived, whatever their result.
    pub refreshes: u64,
    /// The newest refresh token. Empty if there never was one.
    pub current_refresh_token: String,
    /// Access tokens that are accepted now.
    pub live_access_tokens: u64,
}

/// The tokens and facts that an answer returns.
pub(crate) struct Granted {
    pub(crate) account: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) access_token: String,
    /// When the access token ends; `None`: never.
    pub(crate) ends: Option<Instant>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) id_token: Option<String>,
}

/// A consent on its way to a token request.
pub(crate) struct Code {
    pub(crate) account: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) redirect_uri: String,
    /// The PKCE challenge, method S256.
    pub(crate) challenge: Option<String>,
    /// Whether the consent was asked for with `prompt=consent`.
    pub(crate) prompted: bool,
    pub(crate) issued: Instant,
    /// The family that it was exchanged for.
    pub(crate) family: Option<usize>,
}

impl Code {
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now < self.issued + CODE_LIFE
    }
}

pub(crate) struct FamilyRecord {
    pub(crate) account: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) generation: u64,
    pub(crate) revoked: bool,
    pub(crate) refreshes: u64,
    pub(crate) current: Option<String>,
    /// Access tokens, the newest last, among them some that ended.
    pub(crate) access: Vec<String>,
}

pub(crate) struct RefreshRecord {
    pub(crate) family: usize,
    pub(crate) generation: u64,
    /// When another token took its place.
    pub(crate) replaced: Option<Instant>,
}

struct AccessRecord {
    family: usize,
    ends: Option<Instant>,
}

/// All grants and codes.
pub(crate) struct Ledger {
    pub(crate) opaque: Opaque,
    pub(crate) codes: HashMap<String, Code>,
    pub(crate) families: Vec<FamilyRecord>,
    pub(crate) refresh_tokens: HashMap<String, RefreshRecord>,
    access_tokens: HashMap<String, AccessRecord>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            opaque: Opaque::new(),
            codes: HashMap::new(),
            families: Vec::new(),
            refresh_tokens: HashMap::new(),
            access_tokens: HashMap::new(),
        }
    }

    /// Stores a consent and returns its code.
    pub(crate) fn keep_code(&mut self, code: Code) -> String {
        let name = self.opaque.value("sim_code_");
        self.codes.insert(name.clone(), code);
        name
    }

    /// A new family without tokens.
    pub(crate) fn open(&mut self, account: &str, scopes: Vec<String>) -> usize {
        self.families.push(FamilyRecord {
            account: account.to_owned(),
            scopes,
            generation: 0,
            revoked: false,
            refreshes: 0,
            current: None,
            access: Vec::new(),
        });
        self.families.len() - 1
    }

    /// A new refresh token of this generation, which replaces the current one.
    pub(crate) fn put_refresh_token(&mut self, family: usize, generation: u64, now: Instant) -> String {
        let token = self.opaque.value("sim_refresh_");
        let record = &mut self.families[family];
        record.generation = record.generation.max(generation);
        if let Some(old) = record.current.replace(token.clone())
            && let Some(old) = self.refresh_tokens.get_mut(&old)
        {
            old.replaced = Some(now);
        }
        self.refresh_tokens.insert(token.clone(), RefreshRecord { family, generation, replaced: None });
        token
    }

    /// A new access token, returned together with this refresh token.
    pub(crate) fn hand_out(
        &mut self,
        family: usize,
        refresh_token: Option<String>,
        lifetime: Option<Duration>,
        now: Instant,
    ) -> Granted {
        let token = self.opaque.value("sim_access_");
        let ends = lifetime.and_then(|lifetime| now.checked_add(lifetime));
        let access = std::mem::take(&mut self.families[family].access);
        let (mut live, ended): (Vec<_>, Vec<_>) =
            access.into_iter().partition(|token| self.is_live(token, now));
        for token in ended {
            self.access_tokens.remove(&token);
        }
        live.push(token.clone());
        self.access_tokens.insert(token.clone(), AccessRecord { family, ends });
        let record = &mut self.families[family];
        record.access = live;
        let (account, scopes) = (record.account.clone(), record.scopes.clone());
        Granted { account, scopes, access_token: token, ends, refresh_token, id_token: None }
    }

    /// The newest tokens once more; `None` if the access token ended.
    pub(crate) fn hand_out_again(&self, family: usize, now: Instant) -> Option<Granted> {
        let record = &self.families[family];
        let token = record.access.last().filter(|token| self.is_live(token, now))?;
        Some(Granted {
            account: record.account.clone(),
            scopes: record.scopes.clone(),
            access_token: token.clone(),
            ends: self.access_tokens.get(token)?.ends,
            refresh_token: record.current.clone(),
            id_token: None,
        })
    }

    fn is_live(&self, access_token: &str, now: Instant) -> bool {
        self.access_tokens.get(access_token).is_some_and(|token| token.ends.is_none_or(|ends| now < ends))
    }

    /// The family of an access token that is accepted now.
    pub(crate) fn family_of_live(&self, access_token: &str, now: Instant) -> Option<usize> {
        let record = self.access_tokens.get(access_token)?;
        self.is_live(access_token, now).then_some(record.family)
    }

    /// Ends the access tokens of a family.
    pub(crate) fn end_access(&mut self, family: usize) {
        for token in self.families[family].access.drain(..) {
            self.access_tokens.remove(&token);
        }
    }

    /// Ends all tokens of a family.
    pub(crate) fn revoke(&mut self, family: usize) {
        self.families[family].revoked = true;
        self.end_access(family);
    }

    /// Ends all grants of an account.
    pub(crate) fn revoke_account(&mut self, account: &str) {
        self.codes.retain(|_, code| code.account != account);
        for family in 0..self.families.len() {
            if self.families[family].account == account {
                self.revoke(family);
            }
        }
    }

    /// Revokes a token (RFC 7009); a refresh token ends its whole family. `false` if the token is unknown or had ended.
    pub(crate) fn revoke_token(&mut self, token: &str) -> bool {
        if let Some(family) = self.refresh_tokens.get(token).map(|record| record.family) {
            let alive = !self.families[family].revoked;
            self.revoke(family);
            return alive;
        }
        self.access_tokens.remove(token).is_some()
    }

    pub(crate) fn describe(&self, family: usize, now: Instant) -> Family {
        let record = &self.families[family];
        Family {
            account: record.account.clone(),
            generation: record.generation,
            revoked: record.revoked,
            refreshes: record.refreshes,
            current_refresh_token: record.current.clone().unwrap_or_default(),
            live_access_tokens: record.access.iter().filter(|token| self.is_live(token, now)).count() as u64,
        }
    }
}
