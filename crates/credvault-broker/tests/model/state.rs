//! What there is at one moment: the row, the replicas, the provider, and what may still go wrong.

use crate::provider::{Family, Token};

/// `refreshes.state`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RowState {
    Idle,
    InFlight,
    Uncertain,
}

/// The rows of the connection in `refreshes`, `tokens` and `connections`, as far as they matter here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Row {
    pub generation: u8,
    pub state: RowState,
    pub marked: bool,
    /// `lease_time` lies behind.
    pub lease_over: bool,
    pub token: Token,
    /// The access token has ended, or nearly.
    pub expired: bool,
    /// The connection is in error: REAUTHORIZATION_REQUIRED.
    pub consent_wanted: bool,
    /// The connection is in error: PROVIDER_UNAVAILABLE.
    pub error_shown: bool,
    /// What is stored next is renewed at once.
    pub doubted: bool,
}

/// What a replica remembers of its claim: `Claimed`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claim {
    pub generation: u8,
    pub token: Token,
    pub uncertain: bool,
    /// Whether the row was marked before.
    pub marked: bool,
    /// The row still has this intent.
    pub intent_stands: bool,
    /// The process still goes by the name that it claimed under.
    pub name_stands: bool,
    /// Longer ago than `PROMPT`.
    pub late: bool,
    /// A request was sent under it.
    pub sent: bool,
}

/// A request, as its sender sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Wire {
    OnItsWay,
    Granted(Token),
    Refused,
}

/// `RefreshFailure`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Failure {
    Temporary,
    Unknown,
    Dead,
}

/// How far a replica is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    Idle,
    /// Somebody here needs newer tokens than those of this generation.
    Wanting(u8),
    Claimed(Claim),
    /// `may_send` has said yes.
    Checked(Claim),
    Sent(Claim, Wire),
    /// It holds new tokens that are to be stored.
    Keeping(Claim, Token),
    Failing(Claim, Failure),
}

/// A process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Replica {
    pub phase: Phase,
    /// The row names this process as the owner of the claim, and its session lock under that name is held.
    pub owns: bool,
    /// Its session lock is held. If not, it does not know yet.
    pub locked: bool,
    pub stopped: bool,
}

impl Budget {
    /// Whether nothing that may happen lets a request work without anybody hearing of it.
    pub fn is_harmless(&self) -> bool {
        let harm = [self.crashes, self.losses, self.latecomers, self.lost_sessions, self.revocations];
        harm.iter().all(|left| *left == 0)
    }
}

impl Replica {
    pub const FRESH: Self = Self { phase: Phase::Idle, owns: false, locked: true, stopped: false };

    pub fn claim(&mut self) -> Option<&mut Claim> {
        match &mut self.phase {
            Phase::Idle | Phase::Wanting(_) => None,
            Phase::Claimed(claim)
            | Phase::Checked(claim)
            | Phase::Sent(claim, _)
            | Phase::Keeping(claim, _)
            | Phase::Failing(claim, _) => Some(claim),
        }
    }
}

/// How many times each thing may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budget {
    /// Further times that the access token ends.
    pub needs: u8,
    pub crashes: u8,
    pub pauses: u8,
    pub lost_sessions: u8,
    /// Requests or answers that are lost, or cannot be read.
    pub losses: u8,
    /// Requests that are held back, not sent, or refused for a while.
    pub outages: u8,
    /// Outages that last as long as they like: any number of requests is not sent, lost, or refused for a while.
    pub long_outages: u8,
    /// Answers that take longer than a caller would wait.
    pub slow: u8,
    /// Ends of a claim that the database does not take, and claims that it takes without saying so.
    pub database: u8,
    /// Lost requests that reach the provider after all, at any time.
    pub latecomers: u8,
    /// New consents of the account's owner.
    pub consents: u8,
    /// Removals of the app at the provider by the account's owner.
    pub revocations: u8,
}

/// What only the checks look at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Witness {
    /// Requests with the tokens of this generation that may have worked as far as anybody knows.
    pub open_requests: u8,
    /// Attempts with them that ended without anybody knowing how.
    pub unknown_attempts: u8,
    /// The provider has told a process that this consent is dead, and the process went on to say so.
    pub told_dead: [bool; 2],
    pub broken: Option<crate::rules::Broken>,
}

impl Witness {
    /// More than two are as good as two.
    pub fn note_unknown(&mut self) {
        self.unknown_attempts = (self.unknown_attempts + 1).min(2);
    }
}

/// All of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub row: Row,
    pub replicas: [Replica; 3],
    pub families: [Family; 2],
    pub latecomer: Option<Token>,
    /// An outage of the provider lasts.
    pub down: bool,
    pub left: Budget,
    pub witness: Witness,
}

impl State {
    /// Someone needs a token, and nothing has happened yet.
    pub fn new(left: Budget) -> Self {
        let row = Row {
            generation: 1,
            state: RowState::Idle,
            marked: false,
            lease_over: false,
            token: Token { family: 0, number: 0 },
            expired: true,
            consent_wanted: false,
            error_shown: false,
            doubted: false,
        };
        let (replicas, families) = ([Replica::FRESH; 3], Default::default());
        Self { row, replicas, families, latecomer: None, down: false, left, witness: Witness::default() }
    }

    pub fn family(&mut self, token: Token) -> &mut Family {
        &mut self.families[usize::from(token.family)]
    }

    /// `idle` of refreshes.rs: no refresh is under way.
    pub fn idle(&mut self) {
        self.row.state = RowState::Idle;
        self.row.marked = false;
        self.row.lease_over = false;
        self.end_intent();
    }

    pub fn end_intent(&mut self) {
        for replica in &mut self.replicas {
            replica.owns = false;
            if let Some(claim) = replica.claim() {
                claim.intent_stands = false;
            }
        }
    }

    /// The credential is another one from now on.
    pub fn next_generation(&mut self, token: Token) {
        self.idle();
        self.row.generation += 1;
        self.row.token = token;
        self.row.expired = false;
        self.row.consent_wanted = false;
        self.row.error_shown = false;
        self.row.doubted = false;
        self.witness.open_requests = 0;
        self.witness.unknown_attempts = 0;
    }
}
