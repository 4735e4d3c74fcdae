//! Checked requests and calls, from their shape in a provider file.

use std::collections::BTreeMap;

use super::file::RequestFile;
use super::file::call::{BasicFile, CallFile};
use super::names::Names;
use super::problem::Problem;
use super::stage::Stage;
use crate::call::{BodyTemplates, Call, Method};
use crate::json_template::JsonTemplate;
use crate::request_auth::{BasicTemplates, RequestTemplates};

impl Names<'_> {
    /// What callers add to their own requests.
    pub(super) fn request(&self, key: &str, file: RequestFile) -> Result<RequestTemplates, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let request = RequestTemplates {
            base_url: file.base_url.map(|url| self.base_url(&at("base_url"), &url)).transpose()?,
            basic: self.basic(key, file.basic, Stage::Request)?,
            headers: self.pairs(&at("headers"), file.headers, Stage::Request)?,
            query: self.pairs(&at("query"), file.query, Stage::Request)?,
        };
        self.check_carried(key, &request).map(|()| request)
    }

    /// A call that the vault makes at `stage`.
    pub(super) fn call(&self, key: &str, file: CallFile, stage: Stage) -> Result<Call, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let CallFile { method, url, basic, headers, query, form, json, omit_auth } = file;
        let body = self.body(key, form, json, stage)?;
        let default = if matches!(body, BodyTemplates::Empty) { Method::Get } else { Method::Post };
        let parts = RequestTemplates {
            base_url: None,
            basic: self.basic(key, basic, stage)?,
            headers: self.pairs(&at("headers"), headers, stage)?,
            query: self.pairs(&at("query"), query, stage)?,
        };
        let url = self.url(&at("url"), &url, stage)?;
        let carries_auth = stage.carries_auth() && !omit_auth;
        let call = Call { method: method.unwrap_or(default), url, parts, body, carries_auth };
        for (part, template) in call.all() {
            self.check(&at(part), template)?;
            self.check_stage(&at(part), template, stage)?;
        }
        Ok(call)
    }

    fn body(
        &self,
        key: &str,
        form: BTreeMap<String, String>,
        json: Option<BTreeMap<String, serde_json::Value>>,
        stage: Stage,
    ) -> Result<BodyTemplates, Problem> {
        match (form.is_empty(), json) {
            (true, None) => Ok(BodyTemplates::Empty),
            (false, None) => Ok(BodyTemplates::Form(self.pairs(&format!("{key}.form"), form, stage)?)),
            (true, Some(members)) => {
                let member = |(name, value): (String, serde_json::Value)| {
                    let template = JsonTemplate::parse(&value)
                        .map_err(|problem| Problem::new(format!("{key}.json.{name}"), problem))?;
                    Ok((name, template))
                };
                Ok(BodyTemplates::Json(members.into_iter().map(member).collect::<Result<_, Problem>>()?))
            }
            (false, Some(_)) => Err(Problem::new(format!("{key}.json"), "must not be given beside form")),
        }
    }

    fn basic(
        &self,
        key: &str,
        basic: Option<BasicFile>,
        stage: Stage,
    ) -> Result<Option<BasicTemplates>, Problem> {
        let Some(BasicFile { user, password, form_encoded }) = basic else { return Ok(None) };
        let half = |part: &str, text: &str| self.template(&format!("{key}.basic.{part}"), text, stage);
        let (user, password) = (half("user", &user)?, half("password", &password)?);
        let form_encoded = form_encoded.unwrap_or(stage.authenticates_client());
        Ok(Some(BasicTemplates { user, password, form_encoded }))
    }
}
