//! `audit checkpoint|prove|prove-consistency`: what an auditor needs to verify the log without the vault. Checkpoints and proofs
//! of records are printed as they are verified, so that `> FILE` makes a file to keep.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct CheckpointArgs {
    /// Print the checkpoint that witnesses have cosigned, which may be some minutes old.
    #[arg(long, conflicts_with = "keys")]
    cosigned: bool,
    /// Print the keys that checkpoints of this log verify with, the newest first, and no checkpoint.
    #[arg(long)]
    keys: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ProveArgs {
    /// The id of the record, as `audit list` shows it with `--output json`.
    #[arg(value_name = "EVENT", required_unless_present = "index")]
    event: Option<String>,
    /// The place of the record in the log instead, counted from 0.
    #[arg(long, value_name = "NUMBER", conflicts_with = "event")]
    index: Option<i64>,
    /// The size of the tree that the record is proved to be in; without it, that of the newest checkpoint.
    #[arg(long, value_name = "SIZE", default_value_t = 0)]
    tree_size: i64,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ConsistencyArgs {
    /// The size of the checkpoint that you kept.
    #[arg(value_name = "SIZE")]
    earlier_size: i64,
    /// The size of the later tree; without it, that of the newest checkpoint.
    #[arg(long, value_name = "SIZE", default_value_t = 0)]
    tree_size: i64,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn checkpoint(arguments: CheckpointArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let found = client.audit().get_checkpoint(v1::GetCheckpointRequest {}).await?.into_inner();
    if arguments.output.output == Format::Json {
        return output.json("GetCheckpointResponse", &found);
    }
    if arguments.keys {
        return found.verifier_keys.iter().try_for_each(|key| output.line(key));
    }
    let checkpoint = if arguments.cosigned { found.cosigned_checkpoint } else { found.checkpoint };
    let Some(checkpoint) = checkpoint else {
        let none = "no witness has cosigned a checkpoint of this log yet; audit.witnesses in the vault's settings names them";
        return Err(Failure::Invalid(none.to_owned()));
    };
    output.line(checkpoint.note.trim_end())
}

pub(super) async fn prove(arguments: ProveArgs, output: &mut Output) -> Result<(), Failure> {
    use v1::prove_inclusion_request::Record;
    let client = arguments.client.connect().await?;
    let record = arguments.event.map(Record::EventId).or(arguments.index.map(Record::Index));
    let request = v1::ProveInclusionRequest { record, tree_size: arguments.tree_size };
    let proof = client.audit().prove_inclusion(request).await?.into_inner();
    if arguments.output.output == Format::Json {
        return output.json("ProveInclusionResponse", &proof);
    }
    if proof.tlog_proof.is_empty() {
        let rule = "the proof has no file: the record's content is not kept any more, or no checkpoint has that tree size; \
                    --output json prints its hashes";
        return Err(Failure::Invalid(rule.to_owned()));
    }
    output.line(proof.tlog_proof.trim_end())
}

pub(super) async fn prove_consistency(
    arguments: ConsistencyArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let ConsistencyArgs { earlier_size, tree_size, .. } = arguments;
    let request = v1::ProveConsistencyRequest { earlier_size, tree_size };
    let proof = client.audit().prove_consistency(request).await?.into_inner();
    if arguments.output.output == Format::Json {
        return output.json("ProveConsistencyResponse", &proof);
    }
    let base64 = |bytes: &Vec<u8>| STANDARD.encode(bytes);
    let mut pairs = vec![
        ("earlier size".to_owned(), proof.earlier_size.to_string()),
        ("earlier root".to_owned(), base64(&proof.earlier_root)),
        ("size".to_owned(), proof.tree_size.to_string()),
        ("root".to_owned(), base64(&proof.root)),
    ];
    pairs.extend(proof.hashes.iter().map(|hash| ("hash".to_owned(), base64(hash))));
    output.block(&pairs)
}
