//! The tree: known answers, and a tree written down as RFC 6962 defines it.

use credvault_audit::{
    Frontier, Hash, Plan, ProofError, TILE_WIDTH, TileId, Tiles, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

/// The tree head of RFC 6962, section 2.1, as a recursion.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_empty_tree(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of_node(naive_root(left), naive_root(right))
        }
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|index| Hash::of_leaf(&[&index.to_be_bytes()])).collect()
}

fn size(leaves: &[Hash]) -> u64 {
    leaves.len() as u64
}

/// Appends leaves and keeps what the frontier says about tiles.
fn grown(leaves: &[Hash], step: usize) -> (Frontier, Vec<(TileId, Vec<u8>)>) {
    let (mut frontier, mut kept) =
        (Frontier::default(), std::collections::BTreeMap::<TileId, Vec<u8>>::new());
    for chunk in leaves.chunks(step) {
        for growth in frontier.extend(chunk.iter().copied()) {
            let tile = kept.entry(growth.tile).or_default();
            assert_eq!(tile.len(), growth.width_before * Hash::BYTES);
            tile.extend(growth.bytes());
        }
    }
    (frontier, kept.into_iter().collect())
}

fn only(kept: &[(TileId, Vec<u8>)], wanted: &[TileId]) -> Tiles {
    let mut tiles = Tiles::default();
    for (tile, bytes) in kept.iter().filter(|(tile, _)| wanted.contains(tile)) {
        tiles.insert(*tile, bytes).expect("a tile");
    }
    tiles
}

fn proof(kept: &[(TileId, Vec<u8>)], plan: Option<Plan>) -> Vec<Hash> {
    let plan = plan.expect("a proof that exists");
    plan.hashes(&only(kept, &plan.tiles())).expect("the named tiles are enough")
}

fn hash(hexadecimal: &str) -> Hash {
    let digit = |at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("hexadecimal");
    let bytes: Vec<u8> = (0..64).step_by(2).map(digit).collect();
    Hash::from_bytes(bytes.try_into().expect("32 bytes"))
}

/// The eight leaves that implementations of RFC 6962 test with, since the first one.
const KNOWN_LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const KNOWN_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn roots_and_proofs_are_the_known_ones() {
    let leaves: Vec<Hash> = KNOWN_LEAVES.iter().map(|leaf| Hash::of_leaf(&[leaf])).collect();
    let (_, kept) = grown(&leaves, 3);
    for (count, root) in KNOWN_ROOTS.iter().enumerate() {
        assert_eq!(naive_root(&leaves[..count]), hash(root), "{count} leaves");
        assert_eq!(grown(&leaves[..count], 8).0.root(), hash(root), "{count} leaves");
        assert_eq!(proof(&kept, Some(Plan::root(count as u64))), [hash(root)], "{count} leaves");
    }
    let first_of_eight = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    assert_eq!(proof(&kept, Plan::inclusion(0, 8)), first_of_eight.map(hash));
    let six_of_eight = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(proof(&kept, Plan::consistency(6, 8)), six_of_eight.map(hash));
}

#[test]
fn every_proof_in_every_small_tree_verifies_and_no_altered_one_does() {
    let all = leaves(24);
    let (_, kept) = grown(&all, 5);
    for later in 0..=24 {
        let root = naive_root(&all[..later]);
        for (index, leaf) in all[..later].iter().enumerate() {
            let (index, later) = (index as u64, later as u64);
            let proof = proof(&kept, Plan::inclusion(index, later));
            let verify = |proof: &[Hash]| verify_inclusion(*leaf, index, later, proof, root);
            assert_eq!(verify(&proof), Ok(()), "leaf {index} of {later}");
            altered(&proof)
                .iter()
                .for_each(|proof| assert!(verify(proof).is_err(), "leaf {index} of {later}"));
            for other in (0..later).filter(|other| *other != index) {
                assert!(verify_inclusion(*leaf, other, later, &proof, root).is_err(), "{index} as {other}");
            }
        }
        for earlier in 0..=later {
            let earlier_tree = (earlier as u64, naive_root(&all[..earlier]));
            let proof = proof(&kept, Plan::consistency(earlier as u64, later as u64));
            let verify = |proof: &[Hash]| verify_consistency(earlier_tree, (later as u64, root), proof);
            assert_eq!(verify(&proof), Ok(()), "{earlier} of {later}");
            altered(&proof).iter().for_each(|proof| assert!(verify(proof).is_err(), "{earlier} of {later}"));
            let rewritten = (earlier as u64, Hash::of_leaf(&[b"rewritten"]));
            let verified = verify_consistency(rewritten, (later as u64, root), &proof);
            assert!(verified.is_err(), "{earlier} of {later}");
        }
    }
}

/// The proof with each hash altered, left out or doubled, and with one more at each end.
fn altered(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let stranger = Hash::of_leaf(&[b"stranger"]);
    let mut all = Vec::from([[proof, &[stranger]].concat(), [&[stranger], proof].concat()]);
    for at in 0..proof.len() {
        let (before, after) = (&proof[..at], &proof[at + 1..]);
        all.push([before, &[stranger], after].concat());
        all.push([before, after].concat());
        all.push([before, &[proof[at], proof[at]], after].concat());
    }
    all
}

#[test]
fn what_is_outside_of_a_tree_has_no_proof() {
    assert_eq!(Plan::inclusion(0, 0), None);
    assert_eq!(Plan::inclusion(5, 5), None);
    assert_eq!(Plan::consistency(6, 5), None);
    let leaf = Hash::of_leaf(&[b"a"]);
    assert_eq!(verify_inclusion(leaf, 0, 0, &[], Hash::of_empty_tree()), Err(ProofError::Index));
    assert_eq!(verify_inclusion(leaf, 1, 1, &[], leaf), Err(ProofError::Index));
    assert_eq!(verify_consistency((2, leaf), (1, leaf), &[]), Err(ProofError::Sizes));
}

#[test]
fn a_frontier_survives_the_store_and_other_bytes_are_refused() {
    for count in [0, 1, 2, 255, 256, 257, 1_000] {
        let (frontier, kept) = grown(&leaves(count), 100);
        let bytes = frontier.encode();
        assert_eq!(bytes.len(), 8 + 32 * count.count_ones() as usize, "the state is small");
        assert_eq!(Frontier::decode(&bytes), Ok(frontier.clone()));
        let tiles = only(&kept, &Frontier::tiles(count as u64));
        assert_eq!(Frontier::from_tiles(count as u64, &tiles), Ok(frontier));
        for wrong in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0; 32]].concat(), &[0xff; 40]] {
            assert!(Frontier::decode(wrong).is_err(), "{count} leaves");
        }
    }
}

#[test]
fn proofs_of_a_tree_of_three_levels_need_few_tiles() {
    let all = leaves(70_000);
    let (frontier, kept) = grown(&all, 9_999);
    let root = naive_root(&all);
    assert_eq!(frontier.root(), root);
    assert_eq!(size(&all), frontier.size());
    for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
        let plan = Plan::inclusion(index, 70_000).expect("a leaf");
        assert!(plan.tiles().len() <= 6, "{:?}", plan.tiles());
        let proof = plan.hashes(&only(&kept, &plan.tiles())).expect("the named tiles");
        let leaf = all[usize::try_from(index).expect("small")];
        assert_eq!(verify_inclusion(leaf, index, 70_000, &proof, root), Ok(()));
        for missing in plan.tiles() {
            let others: Vec<_> = plan.tiles().into_iter().filter(|tile| *tile != missing).collect();
            assert!(plan.hashes(&only(&kept, &others)).is_err(), "{missing} is needed");
        }
    }
}

#[test]
fn what_retention_keeps_needs_none_of_what_it_deletes() {
    for kept_from in [1, 255, 256, 257, 65_536, 70_000, 131_072, 150_000] {
        for later in [kept_from, kept_from + 1, kept_from + 300, 200_000, 1_000_000] {
            let mut plans = Vec::from([Plan::root(later)]);
            for from in [kept_from, kept_from + 1, later - 1, later] {
                plans.extend(Plan::inclusion(from, later).filter(|_| from >= kept_from));
                plans.extend(Plan::consistency(from, later).filter(|_| from >= kept_from));
            }
            for tile in plans.iter().flat_map(Plan::tiles).chain(Frontier::tiles(later)) {
                assert!(tile.end() > kept_from, "{tile} for {kept_from} to {later}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However the leaves arrive, tiles and proofs of every size are those of the naive tree, although the tiles have grown
    /// since.
    #[test]
    fn the_tree_is_the_naive_one(count in 1_usize..1_500, step in 1_usize..600, at in any::<[prop::sample::Index; 3]>()) {
        let all = leaves(count);
        let (frontier, kept) = grown(&all, step);
        prop_assert_eq!(frontier.root(), naive_root(&all));
        let later = at[0].index(count) + 1;
        let root = naive_root(&all[..later]);
        prop_assert_eq!(proof(&kept, Some(Plan::root(later as u64))), [root]);
        let index = at[1].index(later);
        let inclusion = proof(&kept, Plan::inclusion(index as u64, later as u64));
        prop_assert_eq!(verify_inclusion(all[index], index as u64, later as u64, &inclusion, root), Ok(()));
        let earlier = at[2].index(later + 1);
        let consistency = proof(&kept, Plan::consistency(earlier as u64, later as u64));
        let earlier_tree = (earlier as u64, naive_root(&all[..earlier]));
        prop_assert_eq!(verify_consistency(earlier_tree, (later as u64, root), &consistency), Ok(()));
        for (tile, bytes) in &kept {
            prop_assert_eq!(bytes.len(), tile.width_in(count as u64) * Hash::BYTES);
            if tile.level == 1 {
                for (place, above) in bytes.chunks(Hash::BYTES).enumerate() {
                    let first = (usize::try_from(tile.index).expect("small") * TILE_WIDTH + place) * TILE_WIDTH;
                    let root = naive_root(&all[first..first + TILE_WIDTH]).to_bytes();
                    prop_assert_eq!(root.as_slice(), above);
                }
            }
        }
    }

    /// Text from outside never makes a parser fail in another way than with its error.
    #[test]
    fn frontiers_of_any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frontier) = Frontier::decode(&bytes) {
            prop_assert_eq!(frontier.encode(), bytes);
        }
    }
}
