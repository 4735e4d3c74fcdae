//! Checkpoints, their signers, witnesses, and the proof of one record.

use credvault_audit::{
    AddCheckpoint, AddCheckpointError, Checkpoint, CheckpointError, Hash, KeyKind, NoteError, NoteSignature,
    Origin, Plan, ProofError, RecordProof, RecordProofError, SignedCheckpoint, Trust, TrustError,
    VerifierKey, WitnessAnswer, WitnessAnswerError, verify_consistency,
};
use credvault_domain::TenantId;

use crate::support::{Log, origin, record, signer, trust};

const NOW: u64 = 1_764_230_400;

fn name(text: &str) -> Origin {
    Origin::parse(text).expect("a name")
}

fn witness_key(seed: u8, text: &str) -> VerifierKey {
    signer(seed).verifier(name(text), KeyKind::Witness)
}

fn checkpoint() -> SignedCheckpoint {
    Log::of(300).checkpoint(300)
}

#[test]
fn each_tenant_has_its_own_origin() {
    let tenant = TenantId::parse("acme").expect("an id");
    let made = Origin::of_tenant("eu-1", &tenant).expect("an origin");
    assert_eq!(made.as_str(), "credvault/eu-1/tenants/acme");
    let platform = Origin::of_tenant("eu-1", &TenantId::platform()).expect("an origin");
    assert_eq!(platform.as_str(), "credvault/eu-1/tenants/:platform");
    for vault in ["", "a b", "a+b", "a/tenants/b", "a\nb"] {
        assert!(Origin::of_tenant(vault, &tenant).is_err(), "{vault:?}");
    }
}

#[test]
fn a_checkpoint_survives_its_text_and_is_verified() {
    let signed = checkpoint();
    let read = SignedCheckpoint::parse(&signed.to_string()).expect("a checkpoint");
    assert_eq!(read, signed);
    let verified = trust().verify(&read).expect("the signer is trusted");
    assert_eq!(verified.checkpoint(), signed.unverified());
    assert_eq!(verified.checkpoint().text().lines().count(), 3);
}

#[test]
fn texts_of_another_form_are_no_checkpoints() {
    let text = checkpoint().to_string();
    let root = checkpoint().unverified().root.to_string();
    for (from, to) in [
        ("\n300\n", "\n0300\n"),
        ("\n300\n", "\n+300\n"),
        ("\n300\n", "\n-1\n"),
        ("\n300\n", "\n281474976710656\n"),
        ("\n300\n", "\n0\n"),
        ("\n300\n", "\n\n"),
        (root.as_str(), "AAAA"),
        (&format!("{root}\n"), &format!("{root}\nextension\n")),
        ("credvault/eu-1", "credvault eu-1"),
    ] {
        assert_ne!(text.replacen(from, to, 1), text);
        let altered = SignedCheckpoint::parse(&text.replacen(from, to, 1));
        assert_eq!(altered, Err(CheckpointError::Lines), "{from:?} to {to:?}");
    }
    assert_eq!(SignedCheckpoint::parse("a\n1\n"), Err(CheckpointError::Note(NoteError::Layout)));
}

#[test]
fn an_altered_checkpoint_is_not_believed() {
    let text = checkpoint().to_string();
    let bad = Err(TrustError::BadSignature { name: origin() });
    let other_root = Hash::of_leaf(&[b"other"]).to_string();
    for (from, to) in
        [("\n300\n", "\n299\n"), (&checkpoint().unverified().root.to_string(), other_root.as_str())]
    {
        let altered = SignedCheckpoint::parse(&text.replacen(from, to, 1)).expect("a checkpoint");
        assert_eq!(trust().verify(&altered), bad);
    }
    // Another log's name in the first line: its keys are not ours, and ours signed for another one.
    let moved = text.replacen("acme", "evil", 1);
    assert_eq!(trust().verify(&SignedCheckpoint::parse(&moved).expect("a checkpoint")), bad);
    let moved = text.replace("acme", "evil");
    let moved = SignedCheckpoint::parse(&moved).expect("a checkpoint");
    assert_eq!(trust().verify(&moved), Err(TrustError::NoSignature));
    let evil = signer(1).verifier(name("credvault/eu-1/tenants/evil"), KeyKind::Log);
    assert_eq!(
        Trust::new(Vec::from([evil]), 0).verify(&moved),
        Err(TrustError::NoSignature),
        "the id differs"
    );
}

#[test]
fn a_key_counts_for_its_own_log_only() {
    let other =
        Checkpoint { origin: name("credvault/eu-1/tenants/other"), ..checkpoint().unverified().clone() };
    let signed = SignedCheckpoint::sign(other, &[&signer(1)]);
    assert_eq!(trust().verify(&signed), Err(TrustError::NoSignature));
    let witness = Trust::new(Vec::from([signer(1).verifier(origin(), KeyKind::Witness)]), 0);
    assert_eq!(witness.verify(&checkpoint()), Err(TrustError::NoSignature), "a witness is no signer");
}

#[test]
fn the_signer_can_be_replaced() {
    let both = SignedCheckpoint::sign(checkpoint().unverified().clone(), &[&signer(1), &signer(2)]);
    let key = |seed| signer(seed).verifier(origin(), KeyKind::Log);
    for keys in [&[1][..], &[2], &[1, 2], &[3, 2]] {
        let trust = Trust::new(keys.iter().copied().map(key).collect(), 0);
        assert!(trust.verify(&both).is_ok(), "keys {keys:?}");
    }
    assert_eq!(Trust::new(Vec::from([key(3)]), 0).verify(&both), Err(TrustError::NoSignature));
    assert_eq!(Trust::new(Vec::new(), 0).verify(&both), Err(TrustError::NoSignature));
    // A known key whose signature is wrong makes the whole note wrong, however many others are right.
    let text = both.to_string().replace("\n300\n", "\n301\n");
    let resigned = SignedCheckpoint::parse(&text).expect("a checkpoint").unverified().clone();
    let resigned = SignedCheckpoint::sign(resigned, &[&signer(2)]).to_string();
    let mixed = text.lines().rev().nth(1).map(|line| format!("{resigned}{line}\n")).expect("a line");
    let mixed = SignedCheckpoint::parse(&mixed).expect("a checkpoint");
    let both = Trust::new(Vec::from([key(1), key(2)]), 0);
    assert_eq!(both.verify(&mixed), Err(TrustError::BadSignature { name: origin() }));
}

#[test]
fn enough_different_witnesses_must_have_cosigned() {
    let keys = |needed| {
        let log = signer(1).verifier(origin(), KeyKind::Log);
        let again = witness_key(10, "again.example/w1");
        Trust::new(
            Vec::from([log, witness_key(10, "w1.example"), witness_key(11, "w2.example"), again]),
            needed,
        )
    };
    let needs = |needed, found| Err(TrustError::Witnesses { needed, found });
    let mut signed = checkpoint();
    assert_eq!(keys(1).verify(&signed), needs(1, 0));
    let cosign = |signed: &SignedCheckpoint, seed, text: &str| signed.cosign(&signer(seed), name(text), NOW);
    let first = Vec::from([cosign(&signed, 10, "w1.example"), cosign(&signed, 12, "unknown.example")]);
    assert_eq!(keys(1).accept_cosignatures(&mut signed, first), Ok(1), "the unknown one is left out");
    assert_eq!(signed.note().signatures().len(), 2);
    let verified = keys(1).verify(&signed).expect("one is enough");
    let cosigner = &verified.cosigners()[0];
    assert_eq!((cosigner.name.as_str(), cosigner.time), ("w1.example", NOW));
    let again = Vec::from([cosign(&signed, 10, "again.example/w1")]);
    assert_eq!(keys(2).accept_cosignatures(&mut signed, again), Ok(1));
    assert_eq!(keys(2).verify(&signed), needs(2, 1), "one witness with two names is one");
    let second = Vec::from([cosign(&signed, 11, "w2.example"), cosign(&signed, 11, "w2.example")]);
    assert_eq!(keys(2).accept_cosignatures(&mut signed, second), Ok(2));
    assert_eq!(signed.note().signatures().len(), 4, "each key has one signature, the latest");
    let read = SignedCheckpoint::parse(&signed.to_string()).expect("a checkpoint");
    assert_eq!(keys(2).verify(&read).expect("two are enough").cosigners().len(), 2);
}

#[test]
fn a_cosignature_of_something_else_is_refused() {
    let trust = Trust::new(Vec::from([witness_key(10, "w1.example")]), 1);
    let other = Log::of(300).checkpoint(299);
    let bad = Err(TrustError::BadSignature { name: name("w1.example") });
    let right = checkpoint().cosign(&signer(10), name("w1.example"), NOW);
    let mut late = right.clone();
    late.signature[7] ^= 1;
    let mut cut = right.clone();
    cut.signature.truncate(7);
    let plain = NoteSignature { signature: right.signature[8..].to_vec(), ..right.clone() };
    let of_other = other.cosign(&signer(10), name("w1.example"), NOW);
    let never = checkpoint().cosign(&signer(10), name("w1.example"), 0);
    let far = checkpoint().cosign(&signer(10), name("w1.example"), u64::MAX);
    for wrong in [late, cut, plain, of_other, never, far] {
        let mut signed = checkpoint();
        let answer = Vec::from([right.clone(), wrong]);
        assert_eq!(trust.accept_cosignatures(&mut signed, answer), bad);
        assert_eq!(signed, checkpoint(), "nothing was added");
    }
}

#[test]
fn a_witness_reads_what_a_log_asks() {
    let log = Log::of(300);
    let plan = Plan::consistency(100, 300).expect("a proof");
    let proof = plan.hashes(&log.read(&plan.tiles())).expect("all tiles");
    let asked = AddCheckpoint { old_size: 100, proof, checkpoint: log.checkpoint(300) };
    let read = AddCheckpoint::parse(&asked.to_string()).expect("a request");
    assert_eq!(read, asked);
    let tree = |size| (size, log.checkpoint(size).unverified().root);
    assert_eq!(verify_consistency(tree(100), tree(300), &read.proof), Ok(()));
    let first = AddCheckpoint { old_size: 0, proof: Vec::new(), checkpoint: log.checkpoint(300) };
    assert_eq!(AddCheckpoint::parse(&first.to_string()), Ok(first.clone()));
    assert!(first.to_string().starts_with("old 0\n\ncredvault/"));
    let body = asked.to_string();
    let many = body.replacen(
        "old 100\n",
        &format!("old 100\n{}", format!("{}\n", Hash::of_empty_tree()).repeat(63)),
        1,
    );
    for (wrong, error) in [
        (body.replacen("old 100", "old 0100", 1), AddCheckpointError::Lines),
        (body.replacen("old 100", "new 100", 1), AddCheckpointError::Lines),
        (body.replacen("old 100", "old 301", 1), AddCheckpointError::Sizes),
        (body.replacen("=\n", "\n", 1), AddCheckpointError::Lines),
        (many, AddCheckpointError::Lines),
        (body.replacen("\n300\n", "\nmany\n", 1), AddCheckpointError::Checkpoint(CheckpointError::Lines)),
    ] {
        assert_eq!(AddCheckpoint::parse(&wrong), Err(error), "{:.60}", wrong);
    }
}

#[test]
fn a_log_reads_what_a_witness_answers() {
    let line = checkpoint().cosign(&signer(10), name("w1.example"), NOW);
    assert_eq!(WitnessAnswer::parse(200, &line.to_string()), Ok(WitnessAnswer::Cosigned(Vec::from([line]))));
    assert_eq!(WitnessAnswer::parse(200, ""), Err(WitnessAnswerError::Signatures(NoteError::Layout)));
    assert_eq!(
        WitnessAnswer::parse(200, "<html>\n"),
        Err(WitnessAnswerError::Signatures(NoteError::Signature))
    );
    assert_eq!(WitnessAnswer::parse(409, "20852014\n"), Ok(WitnessAnswer::OtherSize(20_852_014)));
    for body in ["20852014", "", "\n", "01\n", "x\n", "281474976710656\n"] {
        assert_eq!(WitnessAnswer::parse(409, body), Err(WitnessAnswerError::Size), "{body:?}");
    }
    for status in [400, 403, 404, 422] {
        assert_eq!(WitnessAnswer::parse(status, "no"), Ok(WitnessAnswer::Refused(status)));
    }
    for status in [429, 500, 503] {
        assert_eq!(WitnessAnswer::parse(status, ""), Ok(WitnessAnswer::Unavailable(status)));
    }
}

#[test]
fn a_record_is_proved_by_a_file_of_its_own() {
    let log = Log::of(300);
    let plan = Plan::inclusion(42, 300).expect("a proof");
    let proof = plan.hashes(&log.read(&plan.tiles())).expect("all tiles");
    let proved = RecordProof { entry: log.entry(42), index: 42, proof, checkpoint: log.checkpoint(300) };
    let text = proved.to_string();
    let read = RecordProof::parse(&text).expect("a proof");
    assert_eq!(read, proved);
    let verified = read.verify(&trust()).expect("it is in the log");
    assert_eq!((verified.index, verified.record), (42, record(42).encode().expect("short")));
    assert_eq!(verified.checkpoint.checkpoint().size, 300);

    let verify = |proof: RecordProof| proof.verify(&trust()).map(|verified| verified.index);
    let root = Err(RecordProofError::Proof(ProofError::Root));
    assert_eq!(verify(RecordProof { entry: log.entry(43), ..proved.clone() }), root);
    assert_eq!(verify(RecordProof { index: 43, ..proved.clone() }), root);
    let outside = RecordProof { index: 300, ..proved.clone() };
    assert_eq!(verify(outside), Err(RecordProofError::Proof(ProofError::Index)));
    let stranger = Trust::new(Vec::from([signer(2).verifier(origin(), KeyKind::Log)]), 0);
    assert_eq!(proved.verify(&stranger), Err(RecordProofError::Trust(TrustError::NoSignature)));
    for (from, to) in [
        ("@v1", "@v2"),
        ("extra ", "extra  "),
        ("index 42", "index 042"),
        ("index 42", "index x"),
        ("\nindex", "\n\nindex"),
    ] {
        assert_eq!(RecordProof::parse(&text.replacen(from, to, 1)), Err(RecordProofError::Lines), "{from:?}");
    }
}

#[test]
fn the_private_half_of_a_key_is_not_printed() {
    assert_eq!(format!("{:?}", signer(1)), "SigningKey");
    assert!(credvault_audit::SigningKey::from_seed(&[1; 31]).is_err());
}
