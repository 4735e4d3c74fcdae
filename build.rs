//! The build script of `crates/credvault-proto`: compiles `proto/` with protox, so that a machine without protoc
//! builds. Cargo runs it in that crate's folder.
//!
//! Besides prost's and tonic's code it writes two lists for macros, taken from the descriptors: `redacted.rs`, the
//! messages that hide their content from `Debug`, and `messages.rs`, all messages, for tests.

use std::error::Error;
use std::path::Path;

use protox::prost_reflect::{DescriptorPool, ExtensionDescriptor, FieldDescriptor, MessageDescriptor};
use tonic_prost_build::FileDescriptorSet;

const PACKAGE: &str = "credvault.v1";
/// The option that marks fields whose content no log may show.
const REDACT: &str = "credvault.v1.redact";
const PROTO_ROOT: &str = "../../proto";
/// The details of errors. No proto of ours imports them; reflection, and JSON of a status, need their descriptors.
const ERROR_DETAILS: &str = "google/rpc/error_details.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    let mut files: Vec<_> = std::fs::read_dir(format!("{PROTO_ROOT}/credvault/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    files.push(Path::new(PROTO_ROOT).join(ERROR_DETAILS));
    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_source_info(true).include_imports(true).open_files(files)?;

    let pool = compiler.descriptor_pool();
    let messages = messages(&pool)?;
    let redact = pool.get_extension_by_name(REDACT).ok_or("there is no option named redact")?;
    let redacted: Vec<_> = messages
        .iter()
        .filter(|message| message.fields().any(|field| is_redacted(&field, &redact)))
        .cloned()
        .collect();
    let out = std::env::var("OUT_DIR")?;
    let out = Path::new(&out);
    std::fs::write(out.join("messages.rs"), macro_call("every_message", &messages))?;
    std::fs::write(out.join("redacted.rs"), macro_call("debug_shows_the_type_only", &redacted))?;
    // As protox encodes it: prost's own descriptor types drop the option `redact`.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let mut builder = tonic_prost_build::configure()
        // Ordered maps: the same request always encodes to the same bytes, which is how a repetition is recognised.
        .btree_map(".")
        .codec_path("crate::Codec")
        .extern_path(".google.rpc", "::tonic_types::pb");
    for message in &redacted {
        builder = builder.skip_debug([format!(".{}", message.full_name())]);
    }
    // The codec tells requests and responses apart by their names.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    builder.compile_fds_with_config(without_deprecation(compiler.file_descriptor_set()), config)?;
    Ok(())
}

/// The messages of our package for which prost generates a type. A nested message would be a type of an inner module,
/// which the generated lists do not name, so it is refused.
fn messages(pool: &DescriptorPool) -> Result<Vec<MessageDescriptor>, Box<dyn Error>> {
    let ours = |message: &MessageDescriptor| message.package_name() == PACKAGE && !message.is_map_entry();
    let messages: Vec<_> = pool.all_messages().filter(ours).collect();
    match messages.iter().find(|message| message.parent_message().is_some()) {
        Some(nested) => {
            Err(format!("{} is a nested message: move it to the top level", nested.full_name()).into())
        }
        None => Ok(messages),
    }
}

/// Whether the field is marked `redact`.
fn is_redacted(field: &FieldDescriptor, redact: &ExtensionDescriptor) -> bool {
    field.options().get_extension(redact).as_bool().unwrap_or(false)
}

/// The descriptors without the mark `deprecated` on fields: the vault has to fill those for clients of earlier releases, and
/// Rust would warn wherever it does. The descriptors that clients get keep the mark.
fn without_deprecation(mut files: FileDescriptorSet) -> FileDescriptorSet {
    let messages = files.file.iter_mut().flat_map(|file| &mut file.message_type);
    for options in messages.flat_map(|message| &mut message.field).filter_map(|field| field.options.as_mut())
    {
        options.deprecated = None;
    }
    files
}

/// A call of a macro with the messages' names.
fn macro_call(name: &str, messages: &[MessageDescriptor]) -> String {
    let names: Vec<_> = messages.iter().map(MessageDescriptor::name).collect();
    format!("{name}! {{ {} }}\n", names.join(" "))
}
