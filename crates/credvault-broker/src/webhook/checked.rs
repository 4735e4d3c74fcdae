//! What an accepted delivery is: its id, and the key by which a replay of it is recognised. The key is made of signed bytes
//! only, in their decoded form, so that another spelling of the same signature has the same key.

use std::time::Duration;

use credvault_crypto::sha256;

/// How long a delivery without a signed time is remembered. It never becomes too old to be accepted, so this only bounds
/// what is kept: it is longer than the hours over which providers repeat a delivery.
pub(super) const UNDATED_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// A delivery that the provider has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The delivery's own id, if there is one. Many providers do not sign it: then it distinguishes repeated deliveries from
    /// new ones, and is no defence.
    pub id: Option<String>,
    /// What makes the delivery unique, under the connection or app whose keys were used: a second one with the same
    /// key within [`Checked::replay_window`] is a replay or the provider's own repetition.
    pub replay_key: [u8; 32],
    /// How long the replay key must be remembered.
    pub replay_window: Duration,
    /// Whether the key was the app's or the provider's own. Such a delivery is for the connection only if it names the
    /// connection's account.
    pub shared: bool,
}

impl Checked {
    /// What makes the delivery unique under a shared key, for the account that its signed part names. One delivery may be
    /// about several accounts, and counts once for each. An account that is not signed does not count: a replay could name
    /// another one each time.
    pub fn shared_replay_key(&self, account: Option<&str>) -> [u8; 32] {
        match account {
            Some(account) => replay_key("account", &[&self.replay_key, account.as_bytes()]),
            None => self.replay_key,
        }
    }
}

/// SHA-256 over the hashes of a label and of each part, so that no byte can move from one part to the next.
pub(super) fn replay_key(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut framed = vec![sha256(&["credvault webhook replay 1 ", label])];
    framed.extend(parts.iter().map(|part| sha256(&[part])));
    sha256(&framed)
}
