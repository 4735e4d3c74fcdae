//! What the list says about the last thing that was done there. It stands in the address, so that the page can be loaded again,
//! with a mark that is made of the page's token: no link of another site has the page say anything.

use credvault_crypto::{MacKey, same_secret};
use credvault_domain::{ConnectionId, ProviderId};
use credvault_operations::consents::browser::Parameters;
use secrecy::ExposeSecret as _;

use super::desk::Guest;
use crate::pages::parts::Tone;
use crate::pages::texts::DoneTexts;

/// How many bytes of a keyed hash the mark has.
const MARK_BYTES: usize = 16;

/// Something that was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Done {
    /// An account was connected, or connected again.
    Connected,
    /// The same, and the provider forbids what the test asked for.
    ConnectedLimited,
    /// What the person has filled in is stored, and the provider was not asked about it.
    Stored,
    /// The provider accepts the credential.
    Works,
    /// The provider accepts it, for another account than before.
    OtherAccount,
    /// The provider accepts it, and forbids what the test asked for.
    Limited,
    /// The provider rejects the credential.
    Rejected,
    /// The provider's answer says nothing about the credential.
    Unclear,
    /// The connection has another name.
    Renamed,
    /// The connection is used where none is named.
    Default,
    /// The credential was destroyed, and is of no use at the provider.
    Disconnected,
    /// The credential was destroyed, and something of it remains at the provider.
    Remains,
    /// The connection was removed.
    Removed,
    /// The connection was removed, and something of it remains at the provider.
    RemovedRemains,
}

/// What the list says, and about which connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Notice {
    pub(super) done: Done,
    pub(super) connection: ConnectionId,
    /// Where it is connected, if that is known; the list knows it of what it shows.
    pub(super) provider: Option<ProviderId>,
}

impl Done {
    const ALL: [Self; 14] = [
        Self::Connected,
        Self::ConnectedLimited,
        Self::Stored,
        Self::Works,
        Self::OtherAccount,
        Self::Limited,
        Self::Rejected,
        Self::Unclear,
        Self::Renamed,
        Self::Default,
        Self::Disconnected,
        Self::Remains,
        Self::Removed,
        Self::RemovedRemains,
    ];

    /// Its word in an address.
    fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::ConnectedLimited => "connected-limited",
            Self::Stored => "stored",
            Self::Works => "works",
            Self::OtherAccount => "other-account",
            Self::Limited => "limited",
            Self::Rejected => "rejected",
            Self::Unclear => "unclear",
            Self::Renamed => "renamed",
            Self::Default => "default",
            Self::Disconnected => "disconnected",
            Self::Remains => "remains",
            Self::Removed => "removed",
            Self::RemovedRemains => "removed-remains",
        }
    }

    /// The event that the application's page gets.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Connected | Self::ConnectedLimited | Self::Stored => "connected",
            Self::Works | Self::OtherAccount | Self::Limited | Self::Rejected | Self::Unclear => "tested",
            Self::Renamed | Self::Default => "changed",
            Self::Disconnected | Self::Remains => "disconnected",
            Self::Removed | Self::RemovedRemains => "removed",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Connected
            | Self::Stored
            | Self::Works
            | Self::Renamed
            | Self::Default
            | Self::Disconnected
            | Self::Removed => Tone::Good,
            Self::ConnectedLimited
            | Self::OtherAccount
            | Self::Limited
            | Self::Unclear
            | Self::Remains
            | Self::RemovedRemains => Tone::Warning,
            Self::Rejected => Tone::Bad,
        }
    }

    pub(super) fn text(self, texts: &DoneTexts) -> &str {
        match self {
            Self::Connected => &texts.connected,
            Self::ConnectedLimited => &texts.connected_limited,
            Self::Stored => &texts.stored,
            Self::Works => &texts.works,
            Self::OtherAccount => &texts.other_account,
            Self::Limited => &texts.limited_account,
            Self::Rejected => &texts.rejected,
            Self::Unclear => &texts.unclear,
            Self::Renamed => &texts.renamed,
            Self::Default => &texts.chosen,
            Self::Disconnected => &texts.disconnected,
            Self::Remains => &texts.remains,
            Self::Removed => &texts.removed,
            Self::RemovedRemains => &texts.removed_remains,
        }
    }
}

/// The address of the session's page at `rest`, such as the list, that says so.
pub(super) fn address(guest: &Guest, rest: &str, notice: &Notice) -> String {
    let Notice { done, connection, provider } = notice;
    let at = provider.as_ref().map(|provider| format!("&at={}", provider.as_str())).unwrap_or_default();
    format!("{}?did={}&of={connection}{at}&mark={}", guest.path(rest), done.as_str(), mark(guest, notice))
}

/// What an address says; `None` if it says nothing, or has no mark of this page.
pub(super) fn read(guest: &Guest, query: &Parameters) -> Option<Notice> {
    let given = query.get("did")?;
    let done = Done::ALL.into_iter().find(|done| done.as_str() == given)?;
    let provider = query.get("at").map(|provider| ProviderId::parse(provider)).transpose().ok()?;
    let notice = Notice { done, connection: query.get("of")?.parse().ok()?, provider };
    same_secret(query.get("mark")?, &mark(guest, &notice)).then_some(notice)
}

fn mark(guest: &Guest, notice: &Notice) -> String {
    let Notice { done, connection, provider } = notice;
    let at = provider.as_ref().map_or("", ProviderId::as_str);
    let said = format!("credvault connect notice {} {connection} {at}", done.as_str());
    let key = MacKey::new(guest.visit.form_token().expose_secret().as_bytes());
    // Without a key there is no mark, and an empty one is never accepted.
    let tag = key.map(|key| key.sign(&[said]));
    tag.iter().flatten().take(MARK_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
