//! Checked modes, from their shape in a provider file.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use credvault_domain::FieldName;

use super::field::{Table, check_dependencies, check_single_lines, derived, fields};
use super::file::ModeFile;
use super::file::field::{DerivedFile, FieldFile};
use super::names::Names;
use super::problem::Problem;
use crate::mode::{Mode, Remarks};
use crate::provider::AppField;

/// What all modes of a provider share.
pub(super) struct Shared<'a> {
    pub(super) config: &'a BTreeMap<String, FieldFile>,
    pub(super) derived: &'a BTreeMap<String, DerivedFile>,
    pub(super) app: &'a BTreeMap<FieldName, AppField>,
}

/// Checks the mode at `key`.
pub(super) fn mode(key: &str, shared: &Shared<'_>, mut file: ModeFile) -> Result<Mode, Problem> {
    let mut config = fields("config", shared.config.clone(), Table::Config)?;
    config.extend(fields(&format!("{key}.config"), std::mem::take(&mut file.config), Table::Config)?);
    check_dependencies(&config)?;
    let secrets = fields(&format!("{key}.secret"), std::mem::take(&mut file.secret), Table::Secret)?;
    let derived_key = |name: &str| match file.derived.contains_key(name) {
        true => format!("{key}.derived.{name}"),
        false => format!("derived.{name}"),
    };
    let mut all_derived = BTreeMap::new();
    for (name, value) in shared.derived.iter().chain(&file.derived) {
        all_derived.insert(name.clone(), derived(&derived_key(name), value.clone())?);
    }
    let scopes = file.scopes.as_ref();
    let scoped = scopes.is_some_and(|scopes| !scopes.default.is_empty() || !scopes.always.is_empty());
    let names = Names { config: &config, secrets: &secrets, derived: &all_derived, app: shared.app, scoped };
    names.check_derived(derived_key)?;
    let request_key = format!("{key}.request");
    let request = names.request(&request_key, std::mem::take(&mut file.request))?;
    let remarks = remarks(key, &mut file)?;
    let revocation =
        file.revoke.take().map(|it| names.revocation(&format!("{key}.revoke"), it)).transpose()?;
    let test = file.test.take().map(|it| names.test(&format!("{key}.test"), it)).transpose()?;
    let discovery = file.discovery.take();
    let discovery = discovery.map(|it| names.discovery(&format!("{key}.discovery"), it)).transpose()?;
    let acquisition = names.acquisition(key, &mut file, revocation.as_ref(), test.as_ref())?;
    let how = (file.kind, &acquisition);
    let rotation =
        file.rotation.take().map(|it| names.rotation(&format!("{key}.rotation"), it, how, test.as_ref()));
    let rotation = rotation.transpose()?;
    check_single_lines(&request_key, &request, &secrets)?;
    Ok(Mode {
        request_names_app: names.names_app(request.all().map(|(_, template)| template)),
        request_app_secrets: names.app_secrets(&request),
        display_name: file.display_name,
        kind: file.kind,
        acquisition,
        revocation,
        test,
        rotation,
        remarks,
        doubts: file.unconfirmed,
        discovery,
        additional_fields: file.additional_fields,
        config,
        secrets,
        derived: all_derived,
        request,
        places: OnceLock::new(),
    })
}

/// What the file says to people. It must not say why there is no call, or why there are no scopes, and have them, too.
fn remarks(key: &str, file: &mut ModeFile) -> Result<Remarks, Problem> {
    let beside = |part: &str, call: &str| {
        Err(Problem::new(format!("{key}.{part}"), format!("must not be given beside {call}")))
    };
    match file {
        ModeFile { no_test: Some(_), test: Some(_), .. } => beside("no_test", "test"),
        ModeFile { no_revocation: Some(_), revoke: Some(_), .. } => beside("no_revocation", "revoke"),
        ModeFile { no_scopes: Some(_), scopes: Some(_), .. } => beside("no_scopes", "scopes"),
        ModeFile { lasts, no_revocation, no_test, no_scopes, .. } => Ok(Remarks {
            lasts: lasts.take(),
            no_revocation: no_revocation.take(),
            no_test: no_test.take(),
            no_scopes: no_scopes.take(),
        }),
    }
}
