//! Compiles the protos with protox, so that a machine without protoc builds.

use std::path::Path;

use protox::prost_reflect::DescriptorPool;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut files: Vec<_> = std::fs::read_dir("proto/credvault/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(files)?;
    let descriptors = compiler.file_descriptor_set();
    let hidden = redacted(&compiler.descriptor_pool());
    let out = std::env::var("OUT_DIR")?;
    // As protox encodes it: prost's own types know no `debug_redact`.
    std::fs::write(Path::new(&out).join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    std::fs::write(Path::new(&out).join("hidden.rs"), format!("hidden! {{ {} }}\n", hidden.join(" ")))?;
    let mut builder = tonic_prost_build::configure()
        // Ordered maps: the same request always encodes to the same bytes, which is how a repetition is recognised.
        .btree_map(".")
        .codec_path("crate::wire::Codec");
    for message in &hidden {
        builder = builder.skip_debug([format!(".credvault.v1.{message}")]);
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}

/// The messages with a field that is marked `debug_redact`: their `Debug` shows nothing.
fn redacted(pool: &DescriptorPool) -> Vec<String> {
    let marked = |field: protox::prost_reflect::FieldDescriptor| {
        let options = field.options();
        options.get_field_by_name("debug_redact").and_then(|value| value.as_bool()).unwrap_or(false)
    };
    pool.all_messages()
        .filter(|message| message.package_name() == "credvault.v1" && message.fields().any(marked))
        .map(|message| message.name().to_owned())
        .collect()
}
