//! From a provider file to checked rules for a provider's answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Known, Stage};
use crate::answer::{AnswerRules, DetailRules, SettingPath, SettingPaths, VerdictRules};
use crate::catalog::Problem;
use crate::condition::{Condition, Test};
use crate::file::FieldKind;
use crate::file::oauth::{
    AfterFile, AnswerFile, ConditionFile, RenewalFile, RevokeFile, ScopesFile, VerifyFile,
};
use crate::oauth::{After, Revoke, Verify};
use crate::path::{Path, PathFile};

impl Known<'_> {
    pub(super) fn answer(
        &self,
        key: &str,
        file: AnswerFile,
        renewal: &RenewalFile,
        scopes: &ScopesFile,
        mode: &str,
        own: bool,
    ) -> Result<AnswerRules, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let path = |part: &str, file: &PathFile| Path::parse(file).map_err(|problem| (at(part), problem));
        let settings = self.settings(&at("settings"), file.settings)?;
        let mut secrets = BTreeMap::new();
        for (name, text) in file.secrets {
            let part = format!("secrets.{name}");
            let Some((field, _)) = self.secrets.get_key_value(name.as_str()) else {
                return Err((at(&part), "is no secret field of this mode".to_owned()));
            };
            secrets.insert(field.clone(), path(&part, &text)?);
        }
        let of_renewal = |part: &str, files: &[ConditionFile]| {
            conditions(&format!("{mode}.renewal.{part}"), files.to_vec())
        };
        let mut dead = of_renewal("dead", &renewal.dead)?;
        if let Some(index) = dead.iter().position(|condition| !condition.needs_body()) {
            let problem = "must look for something in the body: a status alone may be a gateway's, and ends the consent";
            return Err((format!("{mode}.renewal.dead"), format!("[{index}] {problem}")));
        }
        dead.push(Condition::error(&["invalid_grant"]));
        let mut app = of_renewal("app", &renewal.app)?;
        // Whose client it is decides who has to mend it: the owner of the connection, or the platform.
        let client = Condition::error(&["invalid_client", "unauthorized_client"]);
        if own {
            dead.push(client)
        } else {
            app.push(client)
        }
        Ok(AnswerRules {
            success: conditions(&at("success"), file.success)?,
            access_token: path("access_token", &file.access_token)?,
            refresh_token: path("refresh_token", &file.refresh_token)?,
            lifetime: path("lifetime", &file.lifetime)?,
            expires_at: file.expires_at.map(|text| path("expires_at", &text)).transpose()?,
            default_lifetime: file.default_lifetime_seconds.map(Duration::from_secs),
            refresh_lifetime: path("refresh_lifetime", &file.refresh_lifetime)?,
            refresh_expires_at: file
                .refresh_expires_at
                .map(|file| path("refresh_expires_at", &file))
                .transpose()?,
            scope: path("scope", &file.scope)?,
            scope_separator: file.scope_separator.unwrap_or_else(|| scopes.separator.clone()),
            settings,
            secrets,
            account: file.account.map(|text| path("account", &text)).transpose()?,
            code: path("code", &file.code)?,
            dead,
            app,
            throttled: of_renewal("throttled", &renewal.throttled)?,
            busy: of_renewal("busy", &renewal.busy)?,
            clock: of_renewal("clock", &renewal.clock)?,
        })
    }

    fn settings(&self, key: &str, files: BTreeMap<String, PathFile>) -> Result<SettingPaths, Problem> {
        let setting = |(name, file): (String, PathFile)| {
            let key = format!("{key}.{name}");
            let Some(field) = self.config.get(name.as_str()) else {
                return Err((key, "is no setting of this mode".to_owned()));
            };
            let text = !matches!(field.kind, FieldKind::Integer | FieldKind::Boolean);
            let path = Path::parse(&file).map_err(|problem| (key, problem))?;
            Ok((name, SettingPath { path, text }))
        };
        Ok(SettingPaths(files.into_iter().map(setting).collect::<Result<_, _>>()?))
    }

    pub(super) fn after(&self, key: &str, file: AfterFile) -> Result<After, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let account = file.account.map(|file| Path::parse(&file).map_err(|problem| (at("account"), problem)));
        let rules = DetailRules {
            success: conditions(&at("success"), file.success)?,
            settings: self.settings(&at("settings"), file.settings)?,
            account: account.transpose()?,
        };
        Ok(After { call: self.call(&at("call"), file.call, Stage::After)?, rules, optional: file.optional })
    }

    pub(super) fn revoke(&self, key: &str, file: RevokeFile) -> Result<Revoke, Problem> {
        Ok(Revoke {
            call: self.call(&format!("{key}.call"), file.call, Stage::Revocation)?,
            success: conditions(&format!("{key}.success"), file.success)?,
            gone: conditions(&format!("{key}.gone"), file.gone)?,
        })
    }

    pub(super) fn verify(&self, key: &str, file: VerifyFile) -> Result<Verify, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let path = |part: &str, file: Option<PathFile>| {
            file.map(|file| Path::parse(&file).map_err(|problem| (at(part), problem))).transpose()
        };
        let or_status = |part: &str, files: Vec<ConditionFile>, status: u16| {
            let given = conditions(&at(part), files)?;
            Ok::<_, Problem>(if given.is_empty() { vec![Condition::status(status)] } else { given })
        };
        Ok(Verify {
            call: self.call(&at("call"), file.call, Stage::Later)?,
            rules: VerdictRules {
                success: conditions(&at("success"), file.success)?,
                account: path("account", file.account)?,
                name: path("name", file.name)?,
                dead: or_status("dead", file.dead, 401)?,
                limited: or_status("limited", file.limited, 403)?,
                throttled: conditions(&at("throttled"), file.throttled)?,
            },
        })
    }
}

pub(super) fn conditions(key: &str, files: Vec<ConditionFile>) -> Result<Vec<Condition>, Problem> {
    let checked =
        |(index, file)| condition(file).map_err(|text| (key.to_owned(), format!("[{index}] {text}")));
    files.into_iter().enumerate().map(checked).collect()
}

fn condition(file: ConditionFile) -> Result<Condition, String> {
    let ConditionFile { status, path, absent, any, except, between, contains } = file;
    let mut tests = absent.then_some(Test::Absent).into_iter().collect::<Vec<_>>();
    tests.extend(any.map(Test::Any));
    tests.extend(except.map(Test::Except));
    tests.extend(between.map(|(first, last)| Test::Between(first, last)));
    tests.extend(contains.map(Test::Contains));
    let test = tests.pop();
    if !tests.is_empty() {
        return Err("must have at most one of absent, any, except, between and contains".to_owned());
    }
    let body = match (path, test) {
        (Some(path), test) => Some((Path::parse(&path)?, test.unwrap_or(Test::There))),
        (None, Some(_)) => {
            return Err("must have a path for absent, any, except, between and contains".to_owned());
        }
        (None, None) if status.is_none() => return Err("must have a status or a path".to_owned()),
        (None, None) => None,
    };
    Ok(Condition { status, body })
}
