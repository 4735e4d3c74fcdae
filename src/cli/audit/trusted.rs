//! Whose signatures a verification accepts, and the checkpoints that an auditor has kept.

use std::path::Path;

use clap::Args;
use credvault_audit::{KeyKind, SignedCheckpoint, Trust, VerifierKey};

use crate::cli::client::unreadable;
use crate::cli::failure::Failure;

/// Whose signatures are accepted.
#[derive(Args, Debug)]
pub(super) struct TrustArgs {
    /// A key of the log, NAME+ID+BASE64, or a file with one on each line. While a signer is replaced, there are two. Repeatable.
    #[arg(long, value_name = "KEY|FILE", required = true)]
    key: Vec<String>,
    /// A key of a witness that must have cosigned, or a file with one on each line. Repeatable.
    #[arg(long, value_name = "KEY|FILE")]
    witness: Vec<String>,
    /// How many of the witnesses must have cosigned; without it, all of them.
    #[arg(long, value_name = "NUMBER", requires = "witness")]
    quorum: Option<usize>,
}

impl TrustArgs {
    /// The keys, and how many witnesses must have cosigned.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let mut all = keys(&self.key, KeyKind::Log, "--key")?;
        let witnesses = keys(&self.witness, KeyKind::Witness, "--witness")?;
        let needed = self.quorum.unwrap_or(witnesses.len());
        if needed > witnesses.len() || self.quorum == Some(0) {
            let rule = "--quorum must be at least 1, and at most the number of keys of --witness";
            return Err(Failure::Usage(rule.to_owned()));
        }
        all.extend(witnesses);
        Ok(Trust::new(all, needed))
    }
}

/// The keys that are given as text or in files.
fn keys(given: &[String], kind: KeyKind, option: &str) -> Result<Vec<VerifierKey>, Failure> {
    let mut keys = Vec::new();
    for one in given {
        let text = if one.parse::<VerifierKey>().is_ok() { one.clone() } else { read(Path::new(one))? };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let found: Result<Vec<VerifierKey>, _> = lines.map(str::parse).collect();
        let found = found.map_err(|error| Failure::Usage(format!("{option}: {error}")))?;
        if found.is_empty() || found.iter().any(|key| key.kind() != kind) {
            let whose = match kind {
                KeyKind::Log => "of a log (type 1)",
                KeyKind::Witness => "of a witness (type 4)",
            };
            return Err(Failure::Usage(format!("{option} must give keys {whose}, at least one")));
        }
        keys.extend(found);
    }
    Ok(keys)
}

/// The checkpoint in a file.
pub(super) fn checkpoint(path: &Path) -> Result<SignedCheckpoint, Failure> {
    let read = SignedCheckpoint::parse(&read(path)?);
    read.map_err(|error| Failure::Usage(format!("{} is no checkpoint: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

#[cfg(test)]
mod tests {
    use credvault_audit::{Origin, SigningKey};

    use super::*;

    fn key(kind: KeyKind) -> String {
        let name = Origin::parse("test.example/log").expect("a name");
        SigningKey::from_seed(&[1; 32]).expect("a seed").verifier(name, kind).to_string()
    }

    fn refusal(arguments: &TrustArgs) -> Option<String> {
        arguments.trust().err().map(|failure| failure.to_string())
    }

    #[test]
    fn keys_come_as_text_or_in_files_and_are_of_their_kind() {
        let (log, witness) = (key(KeyKind::Log), key(KeyKind::Witness));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("log.key");
        std::fs::write(&file, format!("{log}\n\n{log}\n")).expect("written");
        let file = file.display().to_string();
        let given = |keys: &[&String], witnesses: &[&String], quorum| TrustArgs {
            key: keys.iter().map(|key| (*key).clone()).collect(),
            witness: witnesses.iter().map(|key| (*key).clone()).collect(),
            quorum,
        };
        assert_eq!(refusal(&given(&[&log, &file], &[&witness], None)), None);
        assert_eq!(refusal(&given(&[&file], &[&witness, &witness], Some(1))), None);
        for (arguments, part) in [
            (given(&[&witness], &[], None), "of a log"),
            (given(&[&log], &[&log], None), "of a witness"),
            (given(&[&log], &[&witness], Some(2)), "--quorum"),
            (given(&[&log], &[&witness], Some(0)), "--quorum"),
            (given(&[&"nowhere.key".to_owned()], &[], None), "cannot be read"),
        ] {
            assert!(refusal(&arguments).is_some_and(|text| text.contains(part)), "{arguments:?}");
        }
    }
}
