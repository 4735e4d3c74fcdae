//! Compiles the protos with protox, so that a machine without protoc builds.

use std::path::Path;

use prost::Message as _;

/// Messages with plaintext: their `Debug` is written by hand and shows nothing.
const SECRET_MESSAGES: &[&str] =
    &["CredentialInput", "Credential", "RequestAuth", "PutEventEndpointResponse", "PutOAuthAppRequest"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut files: Vec<_> = std::fs::read_dir("proto/credvault/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut builder = tonic_prost_build::configure()
        // Ordered maps: the same request always encodes to the same bytes, which is how a repetition is recognised.
        .btree_map(".")
        .codec_path("crate::wire::Codec");
    for message in SECRET_MESSAGES {
        builder = builder.skip_debug([format!(".credvault.v1.{message}")]);
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}
