//! What the protocol promises, and the rules that the promises rest on, each of which can be switched off.

use crate::provider::Kind;
use crate::state::Budget;

/// The promises, with the names of `docs/refresh.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Broken {
    /// I1: a refresh never replaces a newer consent, and its tokens are dropped only if something newer is stored.
    LostUpdate,
    /// I2: no refresh token is sent while another request with it is in flight whose sender provably lives.
    SentTwiceAtOnce,
    /// I3: no refresh token is sent after its successor was stored.
    SentAfterUse,
    /// I4: a grant that the provider has called dead does not look alive.
    SilentlyDead,
    /// I5: without a fault, each need sends one request.
    NeedlessRequest,
    /// I6: if the provider allows repeats, no crash and no lost answer ends in a demand for consent.
    NeedlessConsent,
    /// I7: if repeats may cost a grant, each repeat is marked; if they may cost other grants, there is one at most.
    UnmarkedRepeat,
    /// I8: consent is asked for only if the provider has refused; or, if repeats may cost other grants, after two attempts of
    /// uncertain outcome.
    GivenUp,
    /// I9: while the outcome is uncertain, the connection shows it.
    NotShown,
    /// I10: our requests end no grant at the provider, unless a request, a process or its session was lost.
    NeedlessDeath,
    /// L1: without further faults, it ends with fresh tokens or with a demand for consent.
    Stuck,
}

impl Broken {
    pub const ALL: [Self; 11] = [
        Self::LostUpdate,
        Self::SentTwiceAtOnce,
        Self::SentAfterUse,
        Self::SilentlyDead,
        Self::NeedlessRequest,
        Self::NeedlessConsent,
        Self::UnmarkedRepeat,
        Self::GivenUp,
        Self::NotShown,
        Self::NeedlessDeath,
        Self::Stuck,
    ];
}

/// The rules, each with the place where the code keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `claim` tests whether `row.generation != seen`.
    pub claim_compares_generation: bool,
    /// `is_gone`: the lease is over.
    pub lease_ends_first: bool,
    /// `is_gone`: the owner's liveness lock is free.
    pub owner_is_gone: bool,
    /// `GiveUp::is_reached`: a grant is given up only if the provider has refused, unless a repeat may cost other grants.
    pub repeats_until_told: bool,
    /// `send_once`: the answer is awaited within the lease, and a time-out is not a lost answer.
    pub reads_on: bool,
    /// `send_once`: a process that was stopped reads what has arrived before it gives up.
    pub looks_once_more: bool,
    /// `claim`: a claim that was taken over, or that ended without an answer, is marked.
    pub repeats_are_marked: bool,
    /// `may_send`, and `SEND_TIMEOUT` beside it.
    pub may_send: bool,
    /// `store` tests whether `row.generation != claimed.generation`.
    pub store_compares_generation: bool,
    /// Not a rule of the code: only the owner of the claim may `store`.
    pub store_compares_owner: bool,
    /// `fail` tests whether `row.generation != claimed.generation`.
    pub fail_compares_generation: bool,
    /// `fail` tests whether `row.claim_id != Some(claimed.claim_id)`.
    pub fail_compares_claim_id: bool,
    /// `fail`: keeps `claimed.marked_before` in the row.
    pub refused_repeats_are_free: bool,
    /// `is_gone`: a claim of this process is over once this process does not work on it.
    pub own_leftovers_end: bool,
    /// `fail` and `store`: tokens are refreshed at once if the provider has called the grant dead since they were requested.
    pub doubt_is_verified: bool,
    /// `fail`: an outcome that stays uncertain shows on the connection.
    pub uncertain_shows: bool,
    /// `send`: an attempt that the throttle holds back, or that has no request, is not sent, so its claim is released
    /// unchanged.
    pub held_back_is_not_sent: bool,
    /// `refused`: the outcome is uncertain after a success that cannot be read, and after 502, 504 and similar statuses.
    pub unreadable_is_uncertain: bool,
}

impl Rules {
    /// The rules as the code has them.
    pub const CODE: Self = Self {
        claim_compares_generation: true,
        lease_ends_first: true,
        owner_is_gone: true,
        repeats_until_told: true,
        reads_on: true,
        looks_once_more: true,
        repeats_are_marked: true,
        may_send: true,
        store_compares_generation: true,
        store_compares_owner: false,
        fail_compares_generation: true,
        fail_compares_claim_id: true,
        refused_repeats_are_free: true,
        own_leftovers_end: true,
        doubt_is_verified: true,
        uncertain_shows: true,
        held_back_is_not_sent: true,
        unreadable_is_uncertain: true,
    };
}

/// A protocol, a provider, and the faults that may happen.
#[derive(Clone, Copy, Debug)]
pub struct Protocol<'a> {
    pub kind: Kind,
    pub rules: Rules,
    pub budget: Budget,
    /// The promises that are checked. The others may be broken.
    pub promises: &'a [Broken],
}
