//! The shape of calls to the provider in a provider file, of conditions on answers, and of paths into them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::call::Method;

/// A call. Every text in it is a template. An entry is left out if an optional placeholder in it has no value; the call
/// is not made if any other placeholder has none.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallFile {
    /// The HTTP method: POST if there is a body and GET otherwise, unless given.
    #[serde(default)]
    pub(crate) method: Option<Method>,
    /// The URL, without a query.
    pub(crate) url: String,
    /// HTTP basic authentication (RFC 7617).
    #[serde(default)]
    pub(crate) basic: Option<BasicFile>,
    /// The headers, by name.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Query parameters by name, not yet percent-encoded.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
    /// A body of `application/x-www-form-urlencoded`.
    #[serde(default)]
    pub(crate) form: BTreeMap<String, String>,
    /// A JSON body, whose strings are templates.
    #[serde(default)]
    pub(crate) json: Option<BTreeMap<String, Value>>,
    /// Whether the call leaves out what the mode's own requests carry. Only `post_exchange` and `test` carry it.
    #[serde(default)]
    pub(crate) omit_auth: bool,
}

/// The two halves of basic authentication, both templates.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicFile {
    /// The user name, before the colon.
    pub(crate) user: String,
    /// The password, behind the colon.
    pub(crate) password: String,
    /// Whether both halves are form-encoded before they are joined, as RFC 6749, section 2.3.1 asks of clients. Unless
    /// given, they are where a client gets or revokes tokens, and nowhere else. It matters only for characters other
    /// than letters, digits, `*`, `-`, `.` and `_`.
    pub(crate) form_encoded: Option<bool>,
}

/// A path, or several alternatives of which the first one counts that leads to a value.
#[derive(Deserialize, Clone, Debug)]
#[serde(untagged)]
pub(crate) enum PathFile {
    One(String),
    Several(Vec<String>),
}

impl PathFile {
    /// The alternatives, in the order in which they are tried.
    pub(crate) fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

/// A condition on an answer. All parts that are given must hold, and at most one of the last five may be given.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionFile {
    /// The status of the answer.
    #[serde(default)]
    pub(crate) status: Option<u16>,
    /// The path of a value in the JSON body. Without a test, any value but null will do.
    #[serde(default)]
    pub(crate) path: Option<PathFile>,
    /// The value is missing, or null.
    #[serde(default)]
    pub(crate) absent: bool,
    /// The value is one of these, or a list that contains one of these.
    #[serde(default)]
    pub(crate) one_of: Option<Vec<Value>>,
    /// The value is there, and none of these.
    #[serde(default)]
    pub(crate) none_of: Option<Vec<Value>>,
    /// The value is a whole number in this range, both ends included.
    #[serde(default)]
    pub(crate) between: Option<(i64, i64)>,
    /// The value is a text that contains this one. Case is ignored.
    #[serde(default)]
    pub(crate) contains: Option<String>,
}

/// How a token is revoked at the provider.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeFile {
    /// The call that revokes the token.
    pub(crate) call: CallFile,
    /// Conditions of a success, beside a status of 2xx.
    #[serde(default)]
    pub(crate) success: Vec<ConditionFile>,
    /// Answers that mean that the token was revoked before.
    #[serde(default)]
    pub(crate) already_revoked: Vec<ConditionFile>,
}

/// How a credential is tested, and how its account is named.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestFile {
    /// The call. It also carries what the mode's own requests carry, except headers and parameters that it names
    /// itself.
    pub(crate) call: CallFile,
    /// Conditions of a success, beside a status of 2xx.
    #[serde(default)]
    pub(crate) success: Vec<ConditionFile>,
    /// The path of the account's id at the provider.
    #[serde(default)]
    pub(crate) account_id: Option<PathFile>,
    /// The path of the account's name for people.
    #[serde(default)]
    pub(crate) account_display_name: Option<PathFile>,
    /// Answers that mean that the provider rejects the credential. Status 401 if there are none.
    #[serde(default)]
    pub(crate) rejected: Vec<ConditionFile>,
    /// Answers that mean that the credential works and may not make this call. Status 403 if there are none.
    #[serde(default)]
    pub(crate) forbidden: Vec<ConditionFile>,
    /// Answers that mean that the provider asks for fewer calls, beside status 429.
    #[serde(default)]
    pub(crate) rate_limited: Vec<ConditionFile>,
}
