//! A page that has a title and says one thing.

use serde::Deserialize;

/// What a page says that says one thing.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    pub(crate) title: String,
    pub(crate) text: String,
}
