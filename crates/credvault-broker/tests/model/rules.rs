//! What the protocol promises, and the rules that the promises rest on, each of which can be switched off.

use crate::provider::Kind;
use crate::state::Budget;

/// The promises, by the names of `docs/refresh.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Broken {
    /// I1: what a refresh brings never replaces a newer consent, and is dropped only if something newer is stored.
    LostUpdate,
    /// I2: no refresh token is sent while another request with it is under way whose owner provably lives.
    SentTwiceAtOnce,
    /// I3: no refresh token is sent after its successor was stored.
    SentAfterUse,
    /// I4: what the vault was told is dead does not look alive.
    SilentlyDead,
    /// I5: without a fault, each need sends one request.
    NeedlessRequest,
    /// I6: where the provider allows repeats, a crash or a lost answer never ends in consent.
    NeedlessConsent,
    /// I7: where repeats may cost a grant, each is known to be one; where they may cost others, there is one at most.
    UnmarkedRepeat,
    /// I8: consent is asked for only if the provider has refused; or, where repeats may cost other grants, if two attempts
    /// have ended with unknown outcome.
    GivenUp,
    /// I9: while the outcome is unknown, the connection says so.
    NotShown,
    /// I10: no grant ends at the provider by our requests unless one was lost, or a process or its session.
    NeedlessDeath,
    /// L1: without further faults, it ends with fresh tokens or with the demand for consent.
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

/// The rules, each with the name of the place where the code keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// `claim`: `row.generation != seen`.
    pub claim_compares_generation: bool,
    /// `is_gone`: the lease is over.
    pub lease_ends_first: bool,
    /// `is_gone`: the owner's session lock is free.
    pub owner_is_gone: bool,
    /// `is_over`: without the provider's word nothing is given up, unless a repeat may cost other grants.
    pub repeats_until_told: bool,
    /// `send_once`: the answer is read on for within the lease, instead of being given up for lost.
    pub reads_on: bool,
    /// `send_once`: a process that was stopped reads what has arrived before it judges.
    pub looks_once_more: bool,
    /// `claim`: what was taken over, or ended without an answer, is marked.
    pub repeats_are_marked: bool,
    /// `may_send`, and `PROMPT` beside it.
    pub may_send: bool,
    /// `store`: `row.generation != claimed.generation`.
    pub store_compares_generation: bool,
    /// Not a rule of the code: `store` by the owner of the claim only.
    pub store_compares_owner: bool,
    /// `fail`: `row.generation != claimed.generation`.
    pub fail_compares_generation: bool,
    /// `fail`: `row.claim_id != Some(claimed.intent)`.
    pub fail_compares_intent: bool,
    /// `fail`: `claimed.marked_before`.
    pub refused_repeats_are_free: bool,
    /// `is_gone`: a claim of this very process that it is not at is over.
    pub own_leftovers_end: bool,
    /// `fail` and `store`: tokens are renewed at once if the provider has called the consent dead since they were asked
    /// for.
    pub doubt_is_verified: bool,
    /// `fail`: what stays uncertain shows, whoever found it so.
    pub uncertain_shows: bool,
    /// `call`: what `pace` holds back, or has no request, is not sent, so its claim is released as it was found.
    pub held_back_is_not_sent: bool,
    /// `refused`: after a success that cannot be read, and after 502, 504 and their kind, nobody knows what the provider did.
    pub unreadable_is_unknown: bool,
}

impl Rules {
    /// Those of the code.
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
        fail_compares_intent: true,
        refused_repeats_are_free: true,
        own_leftovers_end: true,
        doubt_is_verified: true,
        uncertain_shows: true,
        held_back_is_not_sent: true,
        unreadable_is_unknown: true,
    };
}

/// A protocol, a provider, and how much goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Protocol<'a> {
    pub kind: Kind,
    pub rules: Rules,
    pub budget: Budget,
    /// What is looked for. What is not is not in the way.
    pub promises: &'a [Broken],
}
