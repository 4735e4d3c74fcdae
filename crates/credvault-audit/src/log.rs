//! One tenant's log as the sequencer appends to it. Holds no record for longer than one call.

use credvault_domain::{Exhausted, Random};

use crate::{Bundle, BundleSeed, Frontier, RecordBytes, TILE_WIDTH, TileGrowth};

/// The end of a tenant's log: the frontier of its tree and, if its last bundle is partial, the seed of that.
#[derive(Clone, Debug)]
pub struct TenantLog {
    frontier: Frontier,
    open: Option<BundleSeed>,
}

/// What one call of [`TenantLog::append`] has added. The store writes all of it and the frontier in one transaction. If that
/// fails, the log must be resumed from what is stored.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The index of the first record that was appended. The others follow in their order.
    pub first: u64,
    /// The pieces that bundles have got, each with the index of its bundle.
    pub pieces: Vec<(u64, Bundle)>,
    /// The hashes that tiles have got, lower levels first.
    pub tiles: Vec<TileGrowth>,
}

impl TenantLog {
    /// The log that ends with `frontier`. `open` is the seed of its last bundle if that is partial, from any of its pieces.
    /// `None` if it is absent then, or there without need.
    pub fn resume(frontier: Frontier, open: Option<BundleSeed>) -> Option<Self> {
        let is_partial = !frontier.size().is_multiple_of(TILE_WIDTH as u64);
        (is_partial == open.is_some()).then_some(Self { frontier, open })
    }

    /// The log of a tenant without records.
    pub fn begin() -> Self {
        Self { frontier: Frontier::default(), open: None }
    }

    /// The frontier of the tree, to be stored and signed.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Appends records in their order.
    ///
    /// # Errors
    /// There is no randomness for a new bundle. Nothing was appended.
    pub fn append(
        &mut self,
        records: impl IntoIterator<Item = RecordBytes>,
        random: &dyn Random,
    ) -> Result<Appended, Exhausted> {
        let first = self.frontier.size();
        let (mut leaves, mut open) = (Vec::new(), self.open.clone());
        let mut pieces: Vec<(u64, Bundle)> = Vec::new();
        for (index, record) in (first..).zip(records) {
            let (number, place) = (index / TILE_WIDTH as u64, u8::try_from(index % TILE_WIDTH as u64));
            if pieces.last().is_none_or(|(last, _)| *last != number) {
                let seed = match open.take() {
                    Some(seed) => seed,
                    None => BundleSeed::generate(random)?,
                };
                pieces.push((number, Bundle::begin(seed, place.unwrap_or_default())));
            }
            leaves.extend(pieces.last_mut().and_then(|(_, piece)| piece.push(record)));
        }
        let tiles = self.frontier.extend(leaves);
        if let Some((_, last)) = pieces.last() {
            self.open = (last.end() < TILE_WIDTH).then(|| last.seed().clone());
        }
        Ok(Appended { first, pieces, tiles })
    }
}
