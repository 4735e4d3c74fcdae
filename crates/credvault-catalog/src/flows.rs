//! From a provider file to checked calls: consent, tokens, renewal, revocation, verification, webhooks.

mod answers;

mod handoff;

mod stage;

mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::FieldName;

use crate::call::{BodyTemplates, CallTemplates, JsonTemplate, Method};
use crate::catalog::Problem;
use crate::derived::Derived;
use crate::field::Field;
use crate::file::oauth::{AssertionFile, AuthorizeFile, CallFile, ScopesFile};
use crate::file::{BasicFile, FieldKind, ModeFile, RequestFile};
use crate::handoff::HandOff;
use crate::locate::named;
use crate::mode::ModeKind;
use crate::oauth::{AssertionTemplates, Authorize, OAuth, Renewal, Revoke, Scopes, Verify};
use crate::provider::AppField;
use crate::request_auth::{BasicTemplates, RequestTemplates};
use crate::template::{Placeholder, Template};

use stage::Stage;
pub(crate) use webhook::webhook;

/// What a mode has that templates may refer to.
pub(crate) struct Known<'a> {
    pub(crate) config: &'a BTreeMap<FieldName, Field>,
    pub(crate) secrets: &'a BTreeMap<FieldName, Field>,
    pub(crate) derived: &'a BTreeMap<String, Derived>,
    pub(crate) app: &'a BTreeMap<FieldName, AppField>,
    /// Whether scopes are asked for even if nobody chooses any.
    pub(crate) scoped: bool,
}

/// What a provider file says about calls of one mode.
pub(crate) struct ModeCalls {
    pub(crate) oauth: Option<OAuth>,
    pub(crate) handoff: Option<HandOff>,
    pub(crate) revoke: Option<Revoke>,
    pub(crate) verify: Option<Verify>,
}

impl Known<'_> {
    /// Checks the calls of a mode; `key` is where the mode stands in the file.
    pub(crate) fn calls(&self, key: &str, file: &mut ModeFile) -> Result<ModeCalls, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let revoke = file.revoke.take().map(|revoke| self.revoke(&at("revoke"), revoke)).transpose()?;
        let verify = file.verify.take().map(|verify| self.verify(&at("verify"), verify)).transpose()?;
        let exchange =
            file.exchange.take().map(|call| self.call(&at("exchange"), call, Stage::Exchange)).transpose()?;
        let renew =
            file.renew.take().map(|call| self.call(&at("renew"), call, Stage::Renewal)).transpose()?;
        let authorize =
            file.authorize.take().map(|authorize| self.authorize(&at("authorize"), authorize)).transpose()?;
        if authorize.is_some() != exchange.is_some() {
            return Err((key.to_owned(), "must have both authorize and exchange, or neither".to_owned()));
        }
        if authorize.is_some() && file.kind != ModeKind::Oauth2Code {
            return Err((at("kind"), "must be oauth2_code for a mode with authorize".to_owned()));
        }
        if exchange.is_none() && renew.is_none() {
            let scopes = std::mem::take(&mut file.scopes);
            let handoff = file.handoff.take().map(|handoff| self.handoff(&at("handoff"), handoff, scopes));
            return Ok(ModeCalls { oauth: None, handoff: handoff.transpose()?, revoke, verify });
        }
        if file.handoff.is_some() {
            return Err((at("handoff"), "must not be given beside exchange or renew".to_owned()));
        }
        if !self.secrets.contains_key("access_token") && file.kind != ModeKind::ServiceAccount {
            return Err((at("secret"), "must have access_token: that is where tokens are kept".to_owned()));
        }
        if authorize.as_ref().is_some_and(|authorize| authorize.pkce)
            && !exchange.as_ref().is_some_and(|call| refers(&call.all(), "code_verifier"))
        {
            return Err((
                at("exchange"),
                "must send {flow.code_verifier}, for authorize sends its challenge".to_owned(),
            ));
        }
        let after = file.after.take().map(|after| self.after(&at("after"), after)).transpose()?;
        if after.is_some() && exchange.is_none() {
            return Err((at("after"), "must come with exchange".to_owned()));
        }
        let assertion =
            file.assertion.take().map(|assertion| self.assertion(&at("assertion"), assertion)).transpose()?;
        if assertion.is_none() && renew.as_ref().is_some_and(|call| refers(&call.all(), "assertion")) {
            return Err((at("renew"), "sends {flow.assertion}, and there is no assertion".to_owned()));
        }
        let scopes = std::mem::take(&mut file.scopes);
        let renewal = std::mem::take(&mut file.renewal);
        let own = renew.as_ref().is_some_and(|call| !self.names_app(call.all().into_iter()));
        let answer =
            self.answer(&at("answer"), std::mem::take(&mut file.answer), &renewal, &scopes, key, own)?;
        let ScopesFile { separator, default, always } = scopes;
        let scopes = Scopes { separator, default, always };
        let renewal = Renewal {
            rotates: renewal.rotates,
            grace: Duration::from_secs(renewal.grace_seconds),
            idle: renewal.idle_seconds.map(Duration::from_secs),
            consent: renewal.consent_seconds.map(Duration::from_secs),
            at_once: renewal.at_once,
            reuse_ends_other_consents: renewal.reuse_ends_other_consents,
        };
        let of_account = |template: &Template| {
            template.placeholders().any(|placeholder| matches!(placeholder, Placeholder::Config(_)))
        };
        let one_host = !renew.as_ref().is_some_and(|call| of_account(&call.url));
        let oauth = OAuth {
            authorize,
            scopes,
            renewal,
            own_client: own,
            one_host,
            exchange,
            after,
            renew,
            assertion,
            answer,
        };
        Ok(ModeCalls { oauth: Some(oauth), handoff: None, revoke, verify })
    }

    /// A template that can be filled at this stage.
    fn template(&self, key: &str, text: &str, stage: Stage) -> Result<Template, Problem> {
        let template = Template::parse(text).map_err(|problem| (key.to_owned(), problem))?;
        self.check(key, &template)?;
        self.check_stage(key, &template, stage)?;
        Ok(template)
    }

    /// Checks that what a template refers to is there.
    pub(crate) fn check(&self, key: &str, template: &Template) -> Result<(), Problem> {
        let known = |placeholder: &Placeholder| match placeholder {
            Placeholder::Config(name) => self.config.contains_key(name.as_str()),
            Placeholder::Secret(name) => self.secrets.contains_key(name.as_str()),
            Placeholder::Member(name, member) => self
                .secrets
                .get(name.as_str())
                .is_some_and(|field| field.kind == FieldKind::Json && field.members.contains(member)),
            Placeholder::Derived(name) => self.derived.contains_key(name.as_str()),
            Placeholder::App(name) => {
                matches!(name.as_str(), "client_id" | "client_secret") || self.app.contains_key(name.as_str())
            }
            Placeholder::Flow(_) => true,
        };
        // What is optional need not be promised by the field's own rules.
        let loose = |placeholder: &Placeholder| match placeholder {
            Placeholder::Member(name, _) => {
                self.secrets.get(name.as_str()).is_some_and(|field| field.kind == FieldKind::Json)
            }
            other => known(other),
        };
        let unknown = template.needed().find(|placeholder| !known(placeholder));
        match unknown.or_else(|| template.optional().find(|placeholder| !loose(placeholder))) {
            Some(unknown) => {
                let unknown = unknown.to_string();
                Err((key.to_owned(), format!("refers to {}, which this mode does not have", named(&unknown))))
            }
            None => Ok(()),
        }
    }

    /// Whether any of these needs the platform's app.
    pub(crate) fn names_app<'t>(
        &self,
        mut templates: impl Iterator<Item = (&'static str, &'t Template)>,
    ) -> bool {
        let of_app = |template: &Template| {
            template.placeholders().any(|placeholder| matches!(placeholder, Placeholder::App(_)))
        };
        let derived = |placeholder: &Placeholder| match placeholder {
            Placeholder::Derived(name) => {
                self.derived.get(name).is_some_and(|derived| derived.templates().into_iter().any(of_app))
            }
            _ => false,
        };
        templates.any(|(_, template)| of_app(template) || template.placeholders().any(derived))
    }

    /// Which secrets of the platform's app requests carry as they are, by the names that records have: `app.client_secret`.
    /// An HMAC gives its key away to nobody.
    pub(crate) fn app_secrets(&self, request: &RequestTemplates) -> Vec<String> {
        let mut names: Vec<_> = self
            .carried(request)
            .filter_map(|placeholder| match placeholder {
                Placeholder::App(name) if name == "client_secret" => Some(placeholder.to_string()),
                Placeholder::App(name) => self
                    .app
                    .get(name.as_str())
                    .is_some_and(|field| field.secret)
                    .then(|| placeholder.to_string()),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Checks that requests carry nothing that a fetch leaves out: whoever may fetch would have it from them.
    fn check_carried(&self, key: &str, request: &RequestTemplates) -> Result<(), Problem> {
        for (part, template) in request.all() {
            let kept = |placeholder: &&Placeholder| match placeholder {
                Placeholder::Secret(name) | Placeholder::Member(name, _) => {
                    self.secrets.get(name.as_str()).is_some_and(|field| field.vault_only)
                }
                _ => false,
            };
            if let Some(secret) = self.plain(template).find(kept) {
                let problem = format!(
                    "refers to {secret}, which is vault_only: callers would have it from their requests; an hmac may use it"
                );
                return Err((format!("{key}.{part}"), problem));
            }
        }
        Ok(())
    }

    /// What requests carry as it is, or in a form that it can be read from.
    fn carried<'t>(&'t self, request: &'t RequestTemplates) -> impl Iterator<Item = &'t Placeholder> {
        request.all().flat_map(|(_, template)| self.plain(template))
    }

    /// What a template has in it, through claims of tokens, too.
    fn plain<'t>(&'t self, template: &'t Template) -> impl Iterator<Item = &'t Placeholder> {
        template.placeholders().flat_map(|placeholder| {
            let token = match placeholder {
                Placeholder::Derived(name) => match self.derived.get(name) {
                    Some(Derived::Claim { token, .. }) => Some(token),
                    _ => None,
                },
                _ => None,
            };
            std::iter::once(placeholder).chain(token.into_iter().flat_map(Template::placeholders))
        })
    }

    /// Checks that what a derived value follows from is there.
    pub(crate) fn check_derived(&self, place: impl Fn(&str) -> String) -> Result<(), Problem> {
        for (name, derived) in self.derived {
            let key = place(name);
            if let Derived::Lookup { from, values } = derived {
                let setting = self.config.get(from.as_str()).filter(|setting| !setting.values.is_empty());
                if !setting.is_some_and(|setting| setting.values.iter().all(|text| values.contains_key(text)))
                {
                    let problem =
                        "must come from a setting with an enum, and have a value for each of its values";
                    return Err((key, problem.to_owned()));
                }
            }
            derived.templates().into_iter().try_for_each(|template| self.check(&key, template))?;
        }
        Ok(())
    }

    /// A URL. What a tenant may choose in it must be narrowed down, for it decides where secrets go.
    fn url(&self, key: &str, text: &str, stage: Stage) -> Result<Template, Problem> {
        let template = self.template(key, text, stage)?;
        if template.optional().next().is_some() {
            return Err((
                key.to_owned(),
                "must not have an optional part: without a URL there is no call".to_owned(),
            ));
        }
        // The app is the platform's, and a key's id has been checked.
        let fixed = |placeholder: &Placeholder| {
            matches!(placeholder, Placeholder::App(_) | Placeholder::Flow("key_id"))
        };
        if let Some(wide) = template.placeholders().find(|it| !fixed(it) && !self.is_narrow(it)) {
            let problem = format!(
                "refers to {wide}; a URL takes settings with a pattern or enum, what is looked up by one, and, behind \
                 the host, app.X"
            );
            return Err((key.to_owned(), problem));
        }
        self.check_authority(key, &template)?;
        Ok(template)
    }

    /// Whether what a tenant may write there is narrowed down.
    fn is_narrow(&self, placeholder: &Placeholder) -> bool {
        match placeholder {
            Placeholder::Config(name) => self.config.get(name.as_str()).is_some_and(|field| {
                field.pattern.is_some() || !field.values.is_empty() || field.kind == FieldKind::HttpsUrl
            }),
            Placeholder::Derived(name) => matches!(self.derived.get(name), Some(Derived::Lookup { .. })),
            _ => false,
        }
    }

    /// Checks where a URL leads: to a host that the file names, or that a narrow setting does. A setting of the app never
    /// decides it, for the app keeps its secrets when its settings are changed, and they would go elsewhere.
    fn check_authority(&self, key: &str, template: &Template) -> Result<(), Problem> {
        match template.authority().placeholders().find(|placeholder| !self.is_narrow(placeholder)) {
            Some(wide) => {
                let problem = format!(
                    "refers to {wide} where the host stands; that takes settings with a pattern or enum, and what is \
                     looked up by one"
                );
                Err((key.to_owned(), problem))
            }
            None => Ok(()),
        }
    }

    fn pairs(
        &self,
        key: &str,
        pairs: BTreeMap<String, String>,
        stage: Stage,
    ) -> Result<Vec<(Template, Template)>, Problem> {
        let pair = |(name, value): (String, String)| {
            let key = format!("{key}.{name}");
            Ok((self.template(&key, &name, stage)?, self.template(&key, &value, stage)?))
        };
        pairs.into_iter().map(pair).collect()
    }

    /// What requests carry.
    pub(crate) fn request(&self, key: &str, file: RequestFile) -> Result<RequestTemplates, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let request = RequestTemplates {
            base_url: file.base_url.map(|url| self.base_url(&at("base_url"), &url)).transpose()?,
            basic: self.basic(key, file.basic, Stage::Request)?,
            headers: self.pairs(&at("headers"), file.headers, Stage::Request)?,
            query: self.pairs(&at("query"), file.query, Stage::Request)?,
        };
        self.check_carried(key, &request).map(|()| request)
    }

    /// A URL that callers put a path behind.
    fn base_url(&self, key: &str, text: &str) -> Result<Template, Problem> {
        let template = self.template(key, text, Stage::Request)?;
        self.check_authority(key, &template)?;
        Ok(template)
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
        let form_encoded = form_encoded.unwrap_or(stage.proves_client());
        Ok(Some(BasicTemplates { user, password, form_encoded }))
    }

    fn call(&self, key: &str, file: CallFile, stage: Stage) -> Result<CallTemplates, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let body = match (file.form.is_empty(), file.json) {
            (true, None) => BodyTemplates::Empty,
            (false, None) => BodyTemplates::Form(self.pairs(&at("form"), file.form, stage)?),
            (true, Some(members)) => {
                let mut templates = BTreeMap::new();
                for (name, value) in members {
                    let template = JsonTemplate::parse(&value)
                        .map_err(|problem| (at(&format!("json.{name}")), problem))?;
                    templates.insert(name, template);
                }
                BodyTemplates::Json(templates)
            }
            (false, Some(_)) => return Err((at("json"), "must not be given beside form".to_owned())),
        };
        let default = if matches!(body, BodyTemplates::Empty) { Method::Get } else { Method::Post };
        let parts = RequestTemplates {
            base_url: None,
            basic: self.basic(key, file.basic, stage)?,
            headers: self.pairs(&at("headers"), file.headers, stage)?,
            query: self.pairs(&at("query"), file.query, stage)?,
        };
        let url = self.url(&at("url"), &file.url, stage)?;
        let call =
            CallTemplates { method: file.method.unwrap_or(default), url, parts, body, bare: file.bare };
        for (part, template) in call.all() {
            self.check(&at(part), template)?;
            self.check_stage(&at(part), template, stage)?;
        }
        Ok(call)
    }

    fn authorize(&self, key: &str, file: AuthorizeFile) -> Result<Authorize, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let query = self.pairs(&at("query"), file.query, Stage::Consent)?;
        let values: Vec<_> = query.iter().map(|(_, value)| ("query", value)).collect();
        if !refers(&values, "state") {
            return Err((at("query"), "must send {flow.state}".to_owned()));
        }
        if file.sends_issuer && file.issuer.is_none() {
            return Err((at("sends_issuer"), "needs issuer, which says what `iss` must be".to_owned()));
        }
        let pkce = refers(&values, "code_challenge");
        let setting = |part: String, name: &str| {
            let known = self.config.get_key_value(name).map(|(name, _)| name.clone());
            known.ok_or_else(|| (part, format!("names {}, which is no setting of this mode", named(name))))
        };
        let settings = file
            .settings
            .into_iter()
            .map(|(name, parameter)| Ok((setting(at(&format!("settings.{name}")), &name)?, parameter)));
        let same = file.same.into_iter().map(|(parameter, name)| {
            let setting = setting(at(&format!("same.{parameter}")), &name)?;
            Ok((parameter, setting))
        });
        let account = file.account.map(|name| setting(at("account"), &name)).transpose()?;
        Ok(Authorize {
            url: self.url(&at("url"), &file.url, Stage::Consent)?,
            query,
            code: file.code,
            issuer: file.issuer,
            sends_issuer: file.sends_issuer,
            signature: file.signature,
            settings: settings.collect::<Result<_, Problem>>()?,
            account,
            same: same.collect::<Result<_, Problem>>()?,
            pkce,
        })
    }

    fn assertion(&self, key: &str, file: AssertionFile) -> Result<AssertionTemplates, Problem> {
        let claims = file.claims.into_iter().map(|(name, value)| {
            let template = self.template(&format!("{key}.claims.{name}"), &value, Stage::Assertion)?;
            Ok((name, template))
        });
        let part = |part: &str, text: &str| self.template(&format!("{key}.{part}"), text, Stage::Assertion);
        Ok(AssertionTemplates {
            claims: claims.collect::<Result<_, Problem>>()?,
            key: part("key", &file.key)?,
            key_id: file.key_id.map(|text| part("key_id", &text)).transpose()?,
            lifetime: Duration::from_secs(file.lifetime_seconds),
        })
    }
}

fn refers(templates: &[(&str, &Template)], flow: &str) -> bool {
    let mut placeholders = templates.iter().flat_map(|(_, template)| template.placeholders());
    placeholders.any(|placeholder| matches!(placeholder, Placeholder::Flow(name) if *name == flow))
}
