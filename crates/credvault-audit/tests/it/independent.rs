//! A second implementation, written in Python from the texts of the standards, verifies what this one makes. The same files
//! are frozen in `tests/vectors`: what was exported once must verify forever.

use std::path::Path;
use std::process::Command;

use credvault_audit::{
    AddCheckpoint, KeyKind, Origin, Plan, RecordProof, SignedCheckpoint, Trust, Verifier, verify_consistency,
};

use crate::support::{Log, origin, signer};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/independent.py");

fn trust() -> Trust {
    let witness = Origin::parse("witness.example/w1").expect("a name");
    let log = signer(1).verifier(origin(), KeyKind::Log);
    Trust::new(Vec::from([log, signer(10).verifier(witness, KeyKind::Witness)]), 1)
}

/// The files, by name: keys, a record's proof, a request to a witness, and an export that leads to an earlier checkpoint.
fn files() -> Vec<(&'static str, String)> {
    let log = Log::of(700);
    let witness = Origin::parse("witness.example/w1").expect("a name");
    let mut checkpoint = log.checkpoint(700);
    let cosignature = checkpoint.cosign(&signer(10), witness.clone(), 1_764_230_400);
    assert_eq!(trust().accept_cosignatures(&mut checkpoint, Vec::from([cosignature])), Ok(1));
    let hashes = |plan: Option<Plan>| {
        let plan = plan.expect("a proof");
        plan.hashes(&log.read(&plan.tiles())).expect("all tiles")
    };
    let proof = hashes(Plan::inclusion(301, 700));
    let record = RecordProof { entry: log.entry(301), index: 301, proof, checkpoint: checkpoint.clone() };
    let proof = hashes(Plan::consistency(300, 700));
    let request = AddCheckpoint { old_size: 300, proof, checkpoint: checkpoint.clone() };
    let mut lines = log.part(700, 500..516, &[300]);
    let text = |checkpoint: &SignedCheckpoint| checkpoint.to_string().replace('\n', "\\n");
    lines[0] = lines[0].replace(&text(&log.checkpoint(700)), &text(&checkpoint));
    let mut earlier = log.checkpoint(300);
    let cosignature = earlier.cosign(&signer(10), witness.clone(), 1_764_230_000);
    assert_eq!(trust().accept_cosignatures(&mut earlier, Vec::from([cosignature])), Ok(1));
    Vec::from([
        ("log.key", format!("{}\n", signer(1).verifier(origin(), KeyKind::Log))),
        ("witness.key", format!("{}\n", signer(10).verifier(witness, KeyKind::Witness))),
        ("earlier.checkpoint", earlier.to_string()),
        ("record.tlog-proof", record.to_string()),
        ("add-checkpoint", request.to_string()),
        ("export.jsonl", lines.join("\n") + "\n"),
    ])
}

/// Runs the Python program on a folder. Whether it found everything right, and what it said.
fn python(folder: &Path) -> (bool, String) {
    let output = Command::new("python3").arg(PROGRAM).arg(folder).output().expect("python3 runs the program");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_second_implementation_finds_everything_right() {
    assert_eq!(python(Path::new(FOLDER)), (true, "all right\n".to_owned()));
}

#[test]
fn the_second_implementation_finds_what_was_altered() {
    let made = files();
    for (name, from, to) in [
        ("log.key", "+", "+0"),
        ("earlier.checkpoint", "\n300\n", "\n299\n"),
        ("record.tlog-proof", "index 301", "index 302"),
        ("add-checkpoint", "old 300", "old 301"),
        ("export.jsonl", "FetchCredential", "PutCredential"),
    ] {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("altered-{name}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (file, text) in &made {
            let altered = text.replacen(from, to, 1);
            assert!(*file != name || altered != *text, "{from:?} is in {name}");
            std::fs::write(folder.join(file), if *file == name { &altered } else { text }).expect("a file");
        }
        let (is_right, said) = python(&folder);
        assert!(!is_right && said.contains(name), "{name}: {said}");
    }
}

#[test]
fn the_frozen_files_are_what_is_made_today() {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors");
    std::fs::create_dir_all(&made).expect("a folder");
    let files = files();
    for (name, text) in &files {
        std::fs::write(made.join(name), text).expect("a file");
    }
    for (name, text) in files {
        let frozen = std::fs::read_to_string(Path::new(FOLDER).join(name)).unwrap_or_default();
        assert!(frozen == text, "{name} differs from {}: a released format never changes", made.display());
    }
}

#[test]
fn the_frozen_files_verify() {
    let read = |name| std::fs::read_to_string(Path::new(FOLDER).join(name)).expect("a frozen file");
    let trust = Trust::new(
        ["log.key", "witness.key"].map(|key| read(key).trim_end().parse().expect("a key")).into(),
        1,
    );
    let earlier = SignedCheckpoint::parse(&read("earlier.checkpoint")).expect("a checkpoint");
    let mut verifier = Verifier::new(trust.clone(), std::slice::from_ref(&earlier)).expect("signed");
    read("export.jsonl").lines().for_each(|line| verifier.line(line).expect("a right line"));
    let verified = verifier.finish().expect("a whole export");
    assert_eq!((verified.records, verified.continues), (16, Vec::from([300])));
    let record =
        RecordProof::parse(&read("record.tlog-proof")).expect("a proof").verify(&trust).expect("right");
    assert_eq!((record.index, record.checkpoint.cosigners()[0].time), (301, 1_764_230_400));
    let request = AddCheckpoint::parse(&read("add-checkpoint")).expect("a request");
    let (old, new) = (earlier.unverified(), request.checkpoint.unverified());
    assert_eq!(verify_consistency((old.size, old.root), (new.size, new.root), &request.proof), Ok(()));
}
