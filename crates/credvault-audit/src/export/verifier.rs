//! Verifies an export line by line, in memory that does not grow with it. Stops at the first thing that is wrong.
//!
//! Hashes that do not fit are wrong, but they do not say which record they are wrong about. So the verifier reads on below
//! them, believes nothing more, and names the first record or tile there that contradicts them.

use super::finding::{Fault, Finding};
use super::history::History;
use super::line::{End, FORMAT, Header, Line, RecordLine, TileLine, VERSION};
use super::tree::Tree;
use crate::entry::leaf;
use crate::{Cosigner, Origin, SignedCheckpoint, TileId, Tiles, Trust, VerifiedCheckpoint};

/// What an export has been verified to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedExport {
    /// The checkpoint that the export is of.
    pub checkpoint: VerifiedCheckpoint,
    /// The part of the log that the export is about: the first index and the one after the last.
    pub range: std::ops::Range<u64>,
    /// Whether every record of that part is there. Otherwise the vault has selected some, and may have left out others.
    pub is_complete: bool,
    /// How many records there are.
    pub records: u64,
    /// The sizes of the earlier checkpoints that the log continues.
    pub continues: Vec<u64>,
}

impl VerifiedExport {
    /// Whether every record of the log up to the checkpoint is there.
    pub fn is_whole(&self) -> bool {
        self.is_complete && self.range == (0..self.checkpoint.checkpoint().size)
    }

    /// The log that was exported.
    pub fn origin(&self) -> &Origin {
        &self.checkpoint.checkpoint().origin
    }

    /// The witnesses that have cosigned the checkpoint.
    pub fn cosigners(&self) -> &[Cosigner] {
        self.checkpoint.cosigners()
    }
}

/// The verification of one export.
pub struct Verifier {
    trust: Trust,
    given: Vec<VerifiedCheckpoint>,
    lines: u64,
    state: State,
    suspicion: Option<Suspicion>,
}

/// Hashes that did not fit.
struct Suspicion {
    finding: Finding,
    /// The index after the last record below them.
    until: u64,
}

enum State {
    Begin,
    Edge { body: Body, missing: Vec<TileId>, tiles: Tiles },
    Body { body: Body, tree: Tree, history: History },
    End(Body),
    Failed(Finding),
}

/// What the header says, and how far the records have come.
struct Body {
    checkpoint: VerifiedCheckpoint,
    start: u64,
    end: u64,
    is_complete: bool,
    /// The index that the next record has, or at least has.
    next: u64,
    records: u64,
    continues: Vec<u64>,
}

impl Verifier {
    /// A verifier with the keys that it trusts and the checkpoints that the auditor has kept: the export must be of the same
    /// log and continue each of them.
    ///
    /// # Errors
    /// One of these checkpoints is not to be believed.
    pub fn new(trust: Trust, given: &[SignedCheckpoint]) -> Result<Self, crate::TrustError> {
        let given = given.iter().map(|signed| trust.verify(signed)).collect::<Result<_, _>>()?;
        Ok(Self { trust, given, lines: 0, state: State::Begin, suspicion: None })
    }

    /// Takes the next line, without its line break. That it is taken proves nothing yet: only [`Verifier::finish`] does.
    ///
    /// # Errors
    /// What is wrong, in this line or in hashes before it. The lines after that prove nothing.
    pub fn line(&mut self, text: &str) -> Result<(), Finding> {
        self.lines += 1;
        let next = self.next_bad();
        let state = std::mem::replace(&mut self.state, State::Begin);
        // A verifier that has found something believes no later line.
        if let State::Failed(finding) = state {
            self.state = State::Failed(finding.clone());
            return Err(finding);
        }
        let line = Line::parse(text).ok_or((next, Fault::Line));
        match line.and_then(|line| self.step(state, line)) {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(refused) => {
                let finding = self.finding(self.lines, refused);
                self.state = State::Failed(finding.clone());
                Err(finding)
            }
        }
    }

    /// Ends the verification after the last line.
    ///
    /// # Errors
    /// The export has no end, or a line was wrong.
    pub fn finish(mut self) -> Result<VerifiedExport, Finding> {
        let first_bad = self.next_bad();
        match std::mem::replace(&mut self.state, State::Begin) {
            State::End(body) => Ok(VerifiedExport {
                checkpoint: body.checkpoint,
                range: body.start..body.end,
                is_complete: body.is_complete,
                records: body.records,
                continues: body.continues,
            }),
            State::Begin | State::Edge { .. } | State::Body { .. } => {
                Err(self.finding(self.lines + 1, (first_bad, Fault::CutOff)))
            }
            State::Failed(finding) => Err(finding),
        }
    }

    /// What is wrong, with regard to hashes that did not fit before.
    fn finding(&mut self, line: u64, (first_bad, fault): Refused) -> Finding {
        let contradicts = matches!(fault, Fault::Altered | Fault::Tile(_));
        match self.suspicion.take() {
            None => Finding { line, first_bad, fault },
            Some(Suspicion { finding, .. }) if contradicts => {
                Finding { first_bad: first_bad.or(finding.first_bad), ..finding }
            }
            Some(suspicion) => suspicion.finding,
        }
    }

    /// Remembers hashes that do not fit. If others did not before, these contradict them.
    fn suspect(&mut self, (first_bad, fault): Refused, until: u64) -> Result<(), Refused> {
        if self.suspicion.is_some() {
            return Err((first_bad, fault));
        }
        self.suspicion = Some(Suspicion { finding: Finding { line: self.lines, first_bad, fault }, until });
        Ok(())
    }

    /// Refuses what is no longer below hashes that did not fit: nothing there can contradict them.
    fn check_below(&self, index: u64) -> Result<(), Refused> {
        match &self.suspicion {
            Some(suspicion) if index >= suspicion.until => Err((None, Fault::NoTile)),
            Some(_) | None => Ok(()),
        }
    }

    fn step(&mut self, state: State, line: Line) -> Result<State, Refused> {
        match (state, line) {
            (State::Begin, Line::Header(header)) => self.begin(header),
            (State::Edge { body, missing, tiles }, Line::Tile(tile)) => {
                self.edge(body, missing, tiles, &tile)
            }
            (State::Body { body, tree, history }, Line::Tile(tile)) => self.open(body, tree, history, &tile),
            (State::Body { body, tree, history }, Line::Record(record)) => {
                self.check_below(record.index)?;
                Ok(State::Body { body: body.take(&tree, *record)?, tree, history })
            }
            (State::Body { body, tree, history }, Line::End(end)) => {
                self.check_below(u64::MAX)?;
                finish(body, &tree, history, &end)
            }
            (State::End(body), Line::Header(_) | Line::Tile(_) | Line::Record(_) | Line::End(_)) => {
                Err((body.next_bad(), Fault::CutOff))
            }
            (State::Failed(finding), Line::Header(_) | Line::Tile(_) | Line::Record(_) | Line::End(_)) => {
                Err((finding.first_bad, finding.fault))
            }
            (State::Begin, Line::Tile(_) | Line::Record(_) | Line::End(_)) => Err((None, Fault::Line)),
            (State::Edge { body, .. }, Line::Header(_) | Line::Record(_) | Line::End(_)) => {
                Err((body.next_bad(), Fault::Edge))
            }
            (State::Body { body, .. }, Line::Header(_)) => Err((body.next_bad(), Fault::Line)),
        }
    }

    fn begin(&mut self, header: Header) -> Result<State, Refused> {
        let refused = |fault| (None, fault);
        if header.format != FORMAT || header.version != VERSION {
            return Err(refused(Fault::Line));
        }
        let signed = SignedCheckpoint::parse(&header.checkpoint).map_err(|error| refused(error.into()))?;
        let checkpoint = self.trust.verify(&signed).map_err(|error| refused(error.into()))?;
        let tree = checkpoint.checkpoint();
        if header.start > header.end || header.end > tree.size {
            return Err(refused(Fault::Range));
        }
        for given in self.given.iter().map(VerifiedCheckpoint::checkpoint) {
            if given.origin != tree.origin {
                return Err(refused(Fault::OtherLog));
            }
            if given.size > tree.size {
                return Err(refused(Fault::Later { size: given.size }));
            }
        }
        let mut missing = TileId::edge_of(tree.size);
        missing.reverse();
        let body = Body {
            checkpoint,
            start: header.start,
            end: header.end,
            is_complete: header.complete,
            next: header.start,
            records: 0,
            continues: Vec::new(),
        };
        self.with_edge(body, missing, Tiles::default())
    }

    fn edge(
        &mut self,
        body: Body,
        mut missing: Vec<TileId>,
        mut tiles: Tiles,
        line: &TileLine,
    ) -> Result<State, Refused> {
        let size = body.checkpoint.checkpoint().size;
        let expected = missing.pop().filter(|tile| *tile == line.tile());
        let hashes = line.hashes().filter(|hashes| hashes.len() == line.tile().width_in(size));
        let (Some(tile), Some(hashes)) = (expected, hashes) else {
            return Err((body.next_bad(), Fault::Edge));
        };
        tiles.set(tile, hashes);
        self.with_edge(body, missing, tiles)
    }

    /// The state with these tiles of the edge: once all are there, they must lead to the root.
    fn with_edge(&mut self, body: Body, missing: Vec<TileId>, tiles: Tiles) -> Result<State, Refused> {
        if !missing.is_empty() {
            return Ok(State::Edge { body, missing, tiles });
        }
        let checkpoint = body.checkpoint.checkpoint();
        let tree = Tree::new(checkpoint.size, tiles);
        if !tree.leads_to(checkpoint.root) {
            self.suspect((body.next_bad(), Fault::Edge), u64::MAX)?;
        }
        let given = self.given.iter().map(|given| given.checkpoint().clone()).collect();
        Ok(State::Body { body, tree, history: History::new(given) })
    }

    /// Takes a full tile, after the history has used what it replaces.
    fn open(
        &mut self,
        body: Body,
        mut tree: Tree,
        mut history: History,
        line: &TileLine,
    ) -> Result<State, Refused> {
        let tile = line.tile();
        // Also keeps the arithmetic on indexes from outside far from overflow.
        if tile.width_in(body.checkpoint.checkpoint().size) == 0 {
            return Err((body.next_bad(), Fault::Tile(tile)));
        }
        self.check_below(tile.first_leaf())?;
        history.follow(&tree, tile.first_leaf()).map_err(rewritten)?;
        let first = if body.is_complete { body.next } else { body.next.max(tile.first_leaf()) };
        let refused = (Some(first).filter(|first| *first < body.end), Fault::Tile(tile));
        match line.hashes().and_then(|hashes| tree.open(tile, hashes)) {
            Some(true) => {}
            Some(false) => self.suspect(refused, tile.end())?,
            None => return Err(refused),
        }
        Ok(State::Body { body, tree, history })
    }

    fn next_bad(&self) -> Option<u64> {
        match &self.state {
            State::Begin => None,
            State::Failed(finding) => finding.first_bad,
            State::Edge { body, .. } | State::Body { body, .. } | State::End(body) => body.next_bad(),
        }
    }
}

/// The first record in question, and what is wrong.
type Refused = (Option<u64>, Fault);

fn finish(mut body: Body, tree: &Tree, mut history: History, end: &End) -> Result<State, Refused> {
    if body.is_complete && body.next < body.end || end.records != body.records {
        return Err((body.next_bad(), Fault::CutOff));
    }
    history.follow(tree, body.checkpoint.checkpoint().size).map_err(rewritten)?;
    if let Some(size) = history.unknown.first() {
        return Err((None, Fault::NotCovered { size: *size }));
    }
    body.continues = history.confirmed;
    Ok(State::End(body))
}

fn rewritten(size: u64) -> Refused {
    (None, Fault::Rewritten { size })
}

impl Body {
    /// The index of the record that is in question if the next line is wrong.
    fn next_bad(&self) -> Option<u64> {
        (self.next < self.end).then_some(self.next)
    }

    /// Takes a record, which must be the next one and the one that the tree has.
    fn take(mut self, tree: &Tree, line: RecordLine) -> Result<Self, Refused> {
        let found = line.index;
        if found < self.next || found >= self.end {
            return Err((Some(self.next), Fault::Misplaced { found }));
        }
        if self.is_complete && found > self.next {
            return Err((Some(self.next), Fault::Missing { found }));
        }
        let expected = tree.hash(0, found).ok_or((Some(found), Fault::NoTile))?;
        let blinding = line.blinding();
        let record = line.event.record().and_then(|record| record.encode().ok());
        let is_logged =
            blinding.zip(record).is_some_and(|(hidden, record)| leaf(hidden, &record) == expected);
        if !is_logged {
            return Err((Some(found), Fault::Altered));
        }
        self.next = found + 1;
        self.records += 1;
        Ok(self)
    }
}
