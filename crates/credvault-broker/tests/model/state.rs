//! The state at one moment: the row, the replicas, the provider, and the faults that may still happen.

use crate::provider::{Family, Token};

/// The column `state` of `refreshes`.
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
    /// The lease has expired (`lease_time`).
    pub lease_over: bool,
    pub token: Token,
    /// The access token has expired, or will soon.
    pub expired: bool,
    /// The connection is in error: REAUTHORIZATION_REQUIRED.
    pub consent_wanted: bool,
    /// The connection is in error: PROVIDER_UNAVAILABLE.
    pub error_shown: bool,
    /// The tokens that are stored next are refreshed at once.
    pub doubted: bool,
}

/// What a replica remembers of its claim, as `Claimed`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claim {
    pub generation: u8,
    pub token: Token,
    pub uncertain: bool,
    /// Whether the row was marked before.
    pub marked_before: bool,
    /// Whether the row still has this claim id.
    pub claim_id_stands: bool,
    /// Whether the process still has the name under which it claimed.
    pub name_stands: bool,
    /// Whether the claim is older than `SEND_TIMEOUT`.
    pub late: bool,
    /// Whether a request was sent under this claim.
    pub sent: bool,
}

/// A request as its sender sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Wire {
    OnItsWay,
    Granted(Token),
    Refused,
}

/// How an attempt fails, as `RefreshFailure`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Failure {
    Temporary,
    Uncertain,
    Dead,
}

/// The step that a replica has reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    Idle,
    /// A caller here needs newer tokens than those of this generation.
    Wanting(u8),
    Claimed(Claim),
    /// `may_send` has allowed the request.
    Checked(Claim),
    Sent(Claim, Wire),
    /// It has new tokens, which must be stored.
    Keeping(Claim, Token),
    Failing(Claim, Failure),
}

/// A process of the vault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Replica {
    pub phase: Phase,
    /// Whether the row names this process as the owner of the claim, and its liveness lock under that name is held.
    pub owns: bool,
    /// Whether its liveness lock is held. If it is not, the process does not know that yet.
    pub locked: bool,
    pub stopped: bool,
}

impl Budget {
    /// Whether the faults that remain cannot hide from the vault that a request has worked.
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

/// How often each fault or event may still happen.
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
    /// Outages of any length: any number of requests is not sent, lost, or refused for a while.
    pub long_outages: u8,
    /// Answers that take longer than a caller would wait.
    pub slow: u8,
    /// Ends of a claim that the database does not store, and claims that it stores without acknowledging them.
    pub database: u8,
    /// Lost requests that reach the provider after all, at any time.
    pub latecomers: u8,
    /// New consents of the account's owner.
    pub consents: u8,
    /// Removals of the app at the provider by the account's owner.
    pub revocations: u8,
}

/// What only the checks of promises look at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Witness {
    /// Requests with the tokens of this generation that may have worked, as far as the vault knows.
    pub open_requests: u8,
    /// Attempts with these tokens whose outcome is uncertain.
    pub uncertain_attempts: u8,
    /// Whether the provider has called the grant of a consent dead, and a process has recorded that.
    pub told_dead: [bool; 2],
    pub broken: Option<crate::rules::Broken>,
}

impl Witness {
    /// Counts an attempt of uncertain outcome. More than two count as two.
    pub fn note_uncertain(&mut self) {
        self.uncertain_attempts = (self.uncertain_attempts + 1).min(2);
    }
}

/// The state of the whole system.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub row: Row,
    pub replicas: [Replica; 3],
    pub families: [Family; 2],
    pub latecomer: Option<Token>,
    /// Whether the provider has an outage now.
    pub down: bool,
    pub left: Budget,
    pub witness: Witness,
}

impl State {
    /// The first state: a caller needs a token.
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

    /// As `idle` of `refreshes/row.rs`: no refresh is in flight.
    pub fn idle(&mut self) {
        self.row.state = RowState::Idle;
        self.row.marked = false;
        self.row.lease_over = false;
        self.end_claims();
    }

    pub fn end_claims(&mut self) {
        for replica in &mut self.replicas {
            replica.owns = false;
            if let Some(claim) = replica.claim() {
                claim.claim_id_stands = false;
            }
        }
    }

    /// The credential is replaced by another.
    pub fn next_generation(&mut self, token: Token) {
        self.idle();
        self.row.generation += 1;
        self.row.token = token;
        self.row.expired = false;
        self.row.consent_wanted = false;
        self.row.error_shown = false;
        self.row.doubted = false;
        self.witness.open_requests = 0;
        self.witness.uncertain_attempts = 0;
    }
}
