//! The texts of the connect page.

use serde::Deserialize;

use super::said::Said;

/// What the connect page says, on its list and around its other pages.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectTexts {
    pub(crate) title: String,
    pub(crate) none: String,
    pub(crate) shared: String,
    pub(crate) shared_note: String,
    pub(crate) default: String,
    pub(crate) off: String,
    pub(crate) more: String,
    pub(crate) add_button: String,
    pub(crate) leave: String,
    pub(crate) back: String,
    pub(crate) provider: String,
    pub(crate) account: String,
    pub(crate) declined: String,
    pub(crate) failed: String,
    pub(crate) limited: Said,
    pub(crate) gone: Said,
    pub(crate) other_account: Said,
    pub(crate) later: Said,
    pub(crate) wrong_request: Said,
    pub(crate) cut: Said,
    pub(crate) window: Said,
    pub(crate) left: Said,
    pub(crate) health: HealthTexts,
    pub(crate) tested: TestedTexts,
    pub(crate) deeds: DeedTexts,
    pub(crate) done: DoneTexts,
    pub(crate) add: AddTexts,
    pub(crate) form: FormTexts,
    pub(crate) onward: OnwardTexts,
    pub(crate) rename: RenameTexts,
    pub(crate) end: EndTexts,
}

/// How a connection is, in a word or two.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthTexts {
    pub(crate) not_connected: String,
    pub(crate) well: String,
    pub(crate) ending: String,
    pub(crate) ended: String,
    pub(crate) error: String,
    pub(crate) uncertain: String,
    pub(crate) incident: String,
}

/// How long ago a test of a connection succeeded.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestedTexts {
    pub(crate) now: String,
    pub(crate) minute: String,
    pub(crate) minutes: String,
    pub(crate) hour: String,
    pub(crate) hours: String,
    pub(crate) day: String,
    pub(crate) days: String,
}

/// What can be done with a connection.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeedTexts {
    pub(crate) more: String,
    pub(crate) test: String,
    pub(crate) choose: String,
    pub(crate) reconnect: String,
    pub(crate) rename: String,
    pub(crate) disconnect: String,
    pub(crate) remove: String,
}

/// What was done last.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct DoneTexts {
    pub(crate) connected: String,
    pub(crate) connected_limited: String,
    pub(crate) stored: String,
    pub(crate) works: String,
    pub(crate) other_account: String,
    pub(crate) limited_account: String,
    pub(crate) rejected: String,
    pub(crate) unclear: String,
    pub(crate) renamed: String,
    pub(crate) chosen: String,
    pub(crate) disconnected: String,
    pub(crate) remains: String,
    pub(crate) removed: String,
    pub(crate) removed_remains: String,
}

/// The choice of a provider.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddTexts {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) search: String,
    pub(crate) find: String,
    pub(crate) none_found: String,
    pub(crate) incident: String,
    pub(crate) modes: String,
    pub(crate) modes_text: String,
    pub(crate) mode_consent: String,
    pub(crate) mode_values: String,
    pub(crate) back: String,
}

/// The form for a connection.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormTexts {
    pub(crate) connect: String,
    pub(crate) reconnect: String,
    pub(crate) by_consent: String,
    pub(crate) by_values: String,
    pub(crate) by_values_untested: String,
    pub(crate) help: String,
    pub(crate) send: String,
    pub(crate) testing: String,
    pub(crate) onward: String,
    pub(crate) instead_values: String,
    pub(crate) instead_consent: String,
    pub(crate) optional: String,
    pub(crate) optional_mark: String,
    pub(crate) name: String,
    pub(crate) name_hint: String,
    pub(crate) name_taken: String,
    pub(crate) name_wrong: String,
    pub(crate) shared: String,
    pub(crate) show: String,
    pub(crate) hide: String,
    pub(crate) choose: String,
    pub(crate) yes: String,
    pub(crate) no: String,
    pub(crate) missing: String,
    pub(crate) short: String,
    pub(crate) long: String,
    pub(crate) mismatch: String,
    pub(crate) other_rule: String,
    pub(crate) no_json: String,
    pub(crate) whole_json: String,
    pub(crate) look: String,
    pub(crate) rejected: String,
    pub(crate) other_account: String,
    pub(crate) no_answer: String,
}

/// The way to a provider.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnwardTexts {
    pub(crate) title: String,
    pub(crate) page: String,
    pub(crate) window: String,
    pub(crate) closed: String,
    pub(crate) link: String,
}

/// Another name for a connection.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameTexts {
    pub(crate) title: String,
    pub(crate) hint: String,
    pub(crate) save: String,
}

/// The end of a connection.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndTexts {
    pub(crate) disconnect_title: String,
    pub(crate) remove_title: String,
    pub(crate) text: String,
    pub(crate) destroyed: String,
    pub(crate) revoked: String,
    pub(crate) not_revoked: String,
    pub(crate) shared: String,
    pub(crate) default: String,
    pub(crate) services: String,
    pub(crate) more_services: String,
    pub(crate) stays: String,
    pub(crate) leaves_list: String,
    pub(crate) disconnect: String,
    pub(crate) remove: String,
    pub(crate) keep: String,
}
