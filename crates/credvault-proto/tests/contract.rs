//! What holds for every message and every comment of the protos, read from the descriptors. The list of messages that
//! hide their content is never written by hand.

use std::collections::BTreeMap;

use credvault_proto::{DESCRIPTORS, v1};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

const PACKAGE: &str = "credvault.v1";

/// Text that no `Debug` output may contain.
const CANARY: &str = "CANARY";

/// How deep messages are filled. `google.protobuf.Struct` contains itself.
const MAX_DEPTH: usize = 6;

/// Decodes a message and formats it with `{:?}`.
type DebugOutput = fn(&[u8]) -> String;

/// Lists each generated message with the function that shows its `Debug` output.
macro_rules! every_message {
    ($($message:ident)*) => {
        [$((stringify!($message), debug_output::<v1::$message> as DebugOutput)),*]
    };
}

fn debug_output<M: Message + Default + std::fmt::Debug>(bytes: &[u8]) -> String {
    format!("{:?}", M::decode(bytes).expect("the bytes of this message"))
}

fn generated_messages() -> BTreeMap<&'static str, DebugOutput> {
    include!(concat!(env!("OUT_DIR"), "/messages.rs")).into_iter().collect()
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).expect("the descriptors of the build")
}

/// The messages of the package, without the entries of maps.
fn messages(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    pool.all_messages().filter(|message| message.package_name() == PACKAGE && !message.is_map_entry())
}

fn is_redacted(field: &FieldDescriptor) -> bool {
    let redact = field.parent_pool().get_extension_by_name("credvault.v1.redact").expect("the option");
    field.options().get_extension(&redact).as_bool() == Some(true)
}

/// The message with every field set, and the canary in every redacted field at any depth. Of the members of a `oneof`
/// one that holds the canary is set last, so that it stays.
fn filled(message: &MessageDescriptor, redacted: bool, depth: usize) -> DynamicMessage {
    let value = |field: FieldDescriptor| {
        field_value(&field, redacted || is_redacted(&field), depth).map(|value| (field, value))
    };
    let mut values: Vec<_> = message.fields().filter_map(value).collect();
    values.sort_by_key(|(_, value)| format!("{value:?}").contains(CANARY));
    let mut filled = DynamicMessage::new(message.clone());
    for (field, value) in values {
        filled.set_field(&field, value);
    }
    filled
}

fn field_value(field: &FieldDescriptor, redacted: bool, depth: usize) -> Option<Value> {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let key = MapKey::String(text(redacted).to_owned());
        let value = kind_value(entry.map_entry_value_field().kind(), redacted, depth)?;
        return Some(Value::Map([(key, value)].into()));
    }
    let value = kind_value(field.kind(), redacted, depth)?;
    Some(if field.is_list() { Value::List(vec![value]) } else { value })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum: fields of all other kinds hold no secret"
)]
fn kind_value(kind: Kind, redacted: bool, depth: usize) -> Option<Value> {
    match kind {
        Kind::String => Some(Value::String(text(redacted).to_owned())),
        Kind::Bytes => Some(Value::Bytes(text(redacted).to_owned().into())),
        Kind::Message(message) => {
            (depth < MAX_DEPTH).then(|| Value::Message(filled(&message, redacted, depth + 1)))
        }
        other => {
            assert!(!redacted, "how does a canary look in a redacted field of kind {other:?}?");
            None
        }
    }
}

fn text(redacted: bool) -> &'static str {
    if redacted { CANARY } else { "shown" }
}

#[test]
fn a_redacted_field_never_shows_in_debug_output() {
    let generated = generated_messages();
    let pool = pool();
    let names: Vec<_> = messages(&pool).map(|message| message.name().to_owned()).collect();
    assert_eq!(names.len(), generated.len(), "every message is examined");
    // `Debug` of bytes is a list of numbers.
    let numbers = format!("{:?}", CANARY.as_bytes());
    let numbers = numbers.trim_matches(['[', ']']);

    let mut holders = Vec::new();
    for message in messages(&pool) {
        let bytes = filled(&message, false, 0).encode_to_vec();
        let shown = generated[message.name()](&bytes);
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(!shown.contains(numbers), "{shown}");

        let holds_canary = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        if message.fields().any(|field| is_redacted(&field)) {
            assert!(holds_canary, "{} was filled", message.name());
            assert_eq!(shown, format!("{} {{ .. }}", message.name()));
        }
        if holds_canary {
            holders.push(message.name().to_owned());
        }
    }
    // Through a list, a `oneof` and a message.
    assert!(holders.contains(&"BatchFetchCredentialsResponse".to_owned()), "{holders:?}");
}

/// A message that contains a redacted one still shows its own fields, so that logs and tests stay readable.
#[test]
fn other_messages_show_their_fields() {
    let owner = v1::Owner { kind: v1::OwnerKind::User.into(), user_id: "user-1".into() };
    assert!(format!("{owner:?}").contains("user-1"));
}

#[test]
fn a_field_that_is_named_like_a_secret_is_redacted() {
    const NAMES: [&str; 13] = [
        "fields",
        "headers",
        "query",
        "parameters",
        "result",
        "state",
        "secret",
        "client_secret",
        "body",
        "value",
        "authorization_url",
        "settings",
        "url",
    ];
    // A list of headers whose values are redacted, the URL of a message that hides its content because of its body, a body
    // without a secret, an app's settings, of which the secret ones are sealed and not shown, the settings of an internal
    // service, which hold no secret, the numbers of limits, and how far a synchronisation is.
    const HARMLESS: [&str; 8] = [
        "credvault.v1.VerifyWebhookRequest.headers",
        "credvault.v1.VerifyWebhookRequest.url",
        "credvault.v1.EventDelivery.body",
        "credvault.v1.OAuthApp.settings",
        "credvault.v1.ServiceMapping.settings",
        "credvault.v1.TenantLimit.value",
        "credvault.v1.LimitChange.value",
        "credvault.v1.ReportSyncResponse.state",
    ];
    let pool = pool();
    let mut unmarked = Vec::new();
    for message in messages(&pool) {
        for field in message.fields().filter(|field| NAMES.contains(&field.name())) {
            let holds_text = field.kind().as_enum().is_none();
            if !is_redacted(&field) && holds_text && !HARMLESS.contains(&field.full_name()) {
                unmarked.push(field.full_name().to_owned());
            }
        }
    }
    assert_eq!(unmarked, Vec::<String>::new());
}

#[test]
fn everything_in_the_protos_has_a_comment() {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut silent = Vec::new();
    for file in files.file.iter().filter(|file| file.package() == PACKAGE) {
        for location in &file.source_code_info.as_ref().unwrap().location {
            // Paths of services, RPCs, messages, fields, enums and their values, options: pairs of kind and index.
            let kinds: Vec<i32> = location.path.iter().step_by(2).copied().collect();
            let named = matches!(kinds.as_slice(), [4..=7] | [6, 2] | [4, 2 | 8] | [5, 2]);
            if named && location.path.len() % 2 == 0 && location.leading_comments().trim().is_empty() {
                silent.push(format!("{} {:?}", file.name(), location.path));
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}

/// Without these, a generator for Go refuses the files, and one for Java makes a class of half a megabyte.
#[test]
fn every_file_says_where_it_belongs_in_other_languages() {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut others = Vec::new();
    for file in files.file.iter().filter(|file| file.package() == PACKAGE) {
        let options = file.options.clone().unwrap_or_default();
        let packages = (options.go_package(), options.java_package(), options.csharp_namespace());
        if packages != ("credvault/v1;credvaultv1", "com.credvault.v1", "Credvault.V1")
            || !options.java_multiple_files()
            || !options.java_outer_classname().ends_with("Proto")
        {
            others.push(file.name().to_owned());
        }
    }
    assert_eq!(others, Vec::<String>::new(), "copy the options of vault_service.proto");
}

/// protoc 3.21, which Debian 12 has, refuses a file that names it; `redact` takes its place.
#[test]
fn no_field_has_an_option_that_older_compilers_do_not_know() {
    let pool = pool();
    let fields = messages(&pool).flat_map(|message| message.fields().collect::<Vec<_>>());
    let marked = |field: &FieldDescriptor| {
        field.options().get_field_by_name("debug_redact").is_some_and(|value| value.as_bool() == Some(true))
    };
    let marked: Vec<_> = fields.filter(marked).map(|field| field.full_name().to_owned()).collect();
    assert_eq!(marked, Vec::<String>::new());
}
