//! From a provider file to a checked hand-off of keys.

use std::collections::BTreeMap;

use super::{Known, Stage, refers};
use crate::catalog::Problem;
use crate::file::oauth::{HandOffFile, ScopesFile};
use crate::handoff::{CallbackRules, HandOff};
use crate::oauth::Scopes;
use crate::path::Path;

impl Known<'_> {
    pub(super) fn handoff(
        &self,
        key: &str,
        file: HandOffFile,
        scopes: ScopesFile,
    ) -> Result<HandOff, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let query = self.pairs(&at("query"), file.query, Stage::HandOff)?;
        let values: Vec<_> = query.iter().map(|(_, value)| ("query", value)).collect();
        for name in ["state", "redirect_uri", "handoff_uri"] {
            if !refers(&values, name) {
                return Err((at("query"), format!("must send {{flow.{name}}}")));
            }
        }
        let path = |part: &str, file| Path::parse(&file).map_err(|problem| (at(part), problem));
        let mut fields = BTreeMap::new();
        for (name, file) in file.fields {
            let part = format!("fields.{name}");
            let Some((field, _)) = self.secrets.get_key_value(name.as_str()) else {
                return Err((at(&part), "is no secret field of this mode".to_owned()));
            };
            fields.insert(field.clone(), path(&part, file)?);
        }
        let lacking = self.secrets.iter().find(|(name, field)| field.required && !fields.contains_key(*name));
        if let Some((name, _)) = lacking {
            return Err((at("fields"), format!("must have {name}, which the mode requires")));
        }
        if file.callback.success.is_empty() {
            return Err((at("callback.success"), "must have at least one parameter".to_owned()));
        }
        let ScopesFile { separator, default, always } = scopes;
        Ok(HandOff {
            url: self.url(&at("url"), &file.url, Stage::HandOff)?,
            query,
            scopes: Scopes { separator, default, always },
            state: path("state", file.state)?,
            fields,
            callback: CallbackRules { state: file.callback.state, success: file.callback.success },
        })
    }
}
