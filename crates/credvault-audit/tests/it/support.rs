//! A log in memory, made of the same parts as the vault's: what the store would keep, in maps.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use credvault_audit::{
    Bundle, Checkpoint, Entry, ExportWriter, Finding, Frontier, KeyKind, Origin, Plan, Record, Selection,
    SignedCheckpoint, SigningKey, TenantLog, TileId, Tiles, Trust, VerifiedExport, Verifier,
};
use credvault_domain::{Exhausted, Random};
use uuid::Uuid;

/// A generator that repeats itself from run to run.
#[derive(Default)]
pub(crate) struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted> {
        buffer.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

pub(crate) const TRACE: [u8; 16] = [0x4b; 16];

/// The `index`th record of a test log.
pub(crate) fn record(index: u64) -> Record<'static> {
    Record {
        id: Uuid::from_u128(0x0193_a5b2_7c40_7cc1_9d3e_0000_0000_0000 + u128::from(index)),
        time: 1_764_230_400_000_000 + i64::try_from(index).expect("small") * 1_001,
        trace: TRACE,
        tenant: "acme".into(),
        tenant_source: "token".into(),
        action: "FetchCredential".into(),
        outcome: if index.is_multiple_of(7) { "DENIED" } else { "OK" }.into(),
        service: Some("spiffe://example.org/sync".into()),
        user: index.is_multiple_of(2).then(|| "user_2abC".into()),
        connection: Some(Uuid::from_u128(7)),
        owner_user: None,
        provider: Some("shopify".into()),
        version: Some(i64::try_from(index % 5).expect("small")),
        purpose: index.is_multiple_of(4).then(|| "nightly \"sync\" – é".into()),
        reason: index.is_multiple_of(7).then(|| "POLICY_DENIED".into()),
        source_address: Some("192.0.2.7".parse().expect("an address")),
        changed: Vec::new(),
        released: if index.is_multiple_of(11) { Vec::from(["refresh_token".into()]) } else { Vec::new() },
        policies: Vec::from(["sync-reads".into()]),
    }
}

pub(crate) fn origin() -> Origin {
    Origin::parse("credvault/eu-1/tenants/acme").expect("an origin")
}

pub(crate) fn signer(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).expect("32 bytes")
}

/// Trusts the signer with seed 1.
pub(crate) fn trust() -> Trust {
    Trust::new(Vec::from([signer(1).verifier(origin(), KeyKind::Log)]), 0)
}

/// What a store keeps of one log.
pub(crate) struct Log {
    pub(crate) log: TenantLog,
    pub(crate) tiles: BTreeMap<TileId, Vec<u8>>,
    pub(crate) bundles: BTreeMap<u64, Bundle>,
    random: Counting,
}

impl Log {
    /// A log of `size` records, appended in steps of changing length.
    pub(crate) fn of(size: u64) -> Self {
        let (tiles, bundles, random) = (BTreeMap::new(), BTreeMap::new(), Counting::default());
        let mut log = Self { log: TenantLog::begin(), tiles, bundles, random };
        let mut step = 1;
        while log.size() < size {
            log.append((log.size()..size.min(log.size() + step)).map(record));
            step = step * 3 % 701;
        }
        log
    }

    pub(crate) fn size(&self) -> u64 {
        self.log.frontier().size()
    }

    pub(crate) fn append(&mut self, records: impl Iterator<Item = Record<'static>>) {
        let records: Vec<_> = records.map(|record| record.encode().expect("short")).collect();
        // A sequencer that took over begins with what is stored.
        let frontier = Frontier::decode(&self.log.frontier().encode()).expect("a frontier");
        let partial = self.bundles.last_key_value().map(|(_, bundle)| bundle).filter(|last| last.end() < 256);
        self.log =
            TenantLog::resume(frontier, partial.map(|last| last.seed().clone())).expect("a whole state");
        let appended = self.log.append(records, &self.random).expect("randomness");
        for (number, piece) in appended.pieces {
            let piece = Bundle::decode(&piece.encode()).expect("a bundle");
            match self.bundles.get_mut(&number) {
                Some(bundle) => bundle.join(piece).expect("the next piece"),
                None => drop(self.bundles.insert(number, piece)),
            }
        }
        for growth in appended.tiles {
            let tile = self.tiles.entry(growth.tile).or_default();
            assert_eq!(tile.len(), growth.width_before * 32);
            tile.extend(growth.bytes());
            assert_eq!(tile.len(), growth.width() * 32);
        }
    }

    pub(crate) fn entry(&self, index: u64) -> Entry {
        let place = usize::try_from(index % 256).expect("small");
        self.bundles[&(index / 256)].entry(place).expect("an entry")
    }

    pub(crate) fn read(&self, wanted: &[TileId]) -> Tiles {
        let mut tiles = Tiles::default();
        for tile in wanted {
            tiles.insert(*tile, &self.tiles[tile]).expect("a tile");
        }
        tiles
    }

    /// The checkpoint that was signed at a size.
    pub(crate) fn checkpoint(&self, size: u64) -> SignedCheckpoint {
        let plan = Plan::root(size);
        let root = plan.hashes(&self.read(&plan.tiles())).expect("all tiles")[0];
        SignedCheckpoint::sign(Checkpoint { origin: origin(), size, root }, &[&signer(1)])
    }

    /// The lines of an export at the checkpoint of `size`.
    pub(crate) fn export(
        &self,
        size: u64,
        indexes: &[u64],
        selection: Selection,
        earlier: &[u64],
    ) -> Vec<String> {
        let mut writer = ExportWriter::begin(self.checkpoint(size), selection, earlier.to_vec())
            .expect("inside of the tree");
        let mut lines = Vec::from([writer.header_line()]);
        let tile_lines = |lines: &mut Vec<String>, writer: &ExportWriter, wanted: Vec<TileId>| {
            let tiles = self.read(&wanted);
            lines.extend(wanted.iter().map(|tile| writer.tile_line(*tile, &tiles).expect("a tile")));
        };
        tile_lines(&mut lines, &writer, writer.edge());
        for index in indexes {
            let wanted = writer.before(*index);
            tile_lines(&mut lines, &writer, wanted);
            lines.push(writer.record_line(*index, &self.entry(*index)).expect("a known version"));
        }
        let wanted = writer.after();
        tile_lines(&mut lines, &writer, wanted);
        lines.push(writer.end_line());
        lines
    }

    /// An export of a part of the log, complete.
    pub(crate) fn part(&self, size: u64, range: Range<u64>, earlier: &[u64]) -> Vec<String> {
        let indexes: Vec<u64> = range.clone().collect();
        self.export(size, &indexes, Selection { range, is_complete: true }, earlier)
    }

    /// An export of the whole log.
    pub(crate) fn whole(&self) -> Vec<String> {
        self.part(self.size(), 0..self.size(), &[])
    }
}

/// Verifies an export against checkpoints that an auditor has kept.
pub(crate) fn verify(lines: &[String], given: &[SignedCheckpoint]) -> Result<VerifiedExport, Finding> {
    let mut verifier = Verifier::new(trust(), given).expect("checkpoints to be believed");
    lines.iter().try_for_each(|line| verifier.line(line))?;
    verifier.finish()
}
