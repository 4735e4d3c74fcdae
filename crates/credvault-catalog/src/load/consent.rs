//! Checked consents in a browser, from their shape in a provider file: by code and by delivery.

use std::collections::BTreeMap;

use credvault_domain::FieldName;

use super::conditions::path;
use super::file::tokens::{AuthorizeFile, DeliveryFile, DiscoveryFile, ScopesFile};
use super::names::{Names, refers_to_flow};
use super::problem::Problem;
use super::stage::Stage;
use crate::consent_page::ConsentPage;
use crate::delivery::{Delivery, DeliveryCallback};
use crate::discovery::Discovery;
use crate::oauth::Authorize;
use crate::scopes::Scopes;
use crate::shown::shown_name;

impl Names<'_> {
    /// Checks a consent that brings a code.
    pub(super) fn authorize(&self, key: &str, file: AuthorizeFile) -> Result<Authorize, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let page = self.page(key, &file.url, file.query, Stage::Consent, &["state"])?;
        let says_so = file.sends_issuer || file.sends_issuer_setting.is_some();
        if says_so && file.issuer.is_none() {
            return Err(Problem::new(at("sends_issuer"), "needs issuer, which says what `iss` must be"));
        }
        let pkce = refers_to_flow(page.query.iter().map(|(_, value)| value), "code_challenge");
        let settings = file
            .settings
            .into_iter()
            .map(|(name, parameter)| Ok((self.setting(at(&format!("settings.{name}")), &name)?, parameter)));
        let must_match = file.must_match.into_iter().map(|(parameter, name)| {
            let setting = self.setting(at(&format!("must_match.{parameter}")), &name)?;
            Ok((parameter, setting))
        });
        let account = file.account_id_setting.map(|name| self.setting(at("account_id_setting"), &name));
        Ok(Authorize {
            page,
            code_parameter: file.code_parameter,
            issuer: file
                .issuer
                .map(|text| self.template(&at("issuer"), &text, Stage::Delivery))
                .transpose()?,
            sends_issuer: file.sends_issuer,
            sends_issuer_setting: match file.sends_issuer_setting {
                Some(name) => Some(self.setting(at("sends_issuer_setting"), &name)?),
                None => None,
            },
            signature: file.signature,
            settings: settings.collect::<Result<_, Problem>>()?,
            account_id_setting: account.transpose()?,
            must_match: must_match.collect::<Result<_, Problem>>()?,
            pkce,
        })
    }

    /// Checks a consent after which the provider delivers the credential.
    pub(super) fn delivery(
        &self,
        key: &str,
        file: DeliveryFile,
        scopes: ScopesFile,
    ) -> Result<Delivery, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let sent = ["state", "redirect_uri", "delivery_uri"];
        let page = self.page(key, &file.url, file.query, Stage::Delivery, &sent)?;
        let fields = self.secret_paths(&at("fields"), &file.fields)?;
        let lacking = self.secrets.iter().find(|(name, field)| field.required && !fields.contains_key(*name));
        if let Some((name, _)) = lacking {
            return Err(Problem::new(at("fields"), format!("must have {name}, which the mode requires")));
        }
        if file.callback.success.is_empty() {
            return Err(Problem::new(at("callback.success"), "must have at least one parameter"));
        }
        let (state_parameter, success) = (file.callback.state_parameter, file.callback.success);
        Ok(Delivery {
            page,
            scopes: checked_scopes(scopes),
            state: path(&at("state"), &file.state)?,
            fields,
            callback: DeliveryCallback { state_parameter, success },
        })
    }

    /// A page whose query sends each `{flow.X}` of `sent`.
    fn page(
        &self,
        key: &str,
        url: &str,
        query: BTreeMap<String, String>,
        stage: Stage,
        sent: &[&str],
    ) -> Result<ConsentPage, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let query = self.pairs(&at("query"), query, stage)?;
        for name in sent {
            if !refers_to_flow(query.iter().map(|(_, value)| value), name) {
                return Err(Problem::new(at("query"), format!("must send {{flow.{name}}}")));
            }
        }
        Ok(ConsentPage { url: self.url(&at("url"), url, stage)?, query })
    }

    /// Checks where endpoints are found.
    pub(super) fn discovery(&self, key: &str, file: DiscoveryFile) -> Result<Discovery, Problem> {
        let settings = file
            .settings
            .into_iter()
            .map(|(name, member)| Ok((self.setting(format!("{key}.settings.{name}"), &name)?, member)));
        let settings = settings.collect::<Result<BTreeMap<_, _>, Problem>>()?;
        let issuer = self.setting(format!("{key}.issuer"), &file.issuer)?;
        let narrow = self.config.get(&issuer).is_some_and(|field| field.required && field.pattern.is_some());
        if !narrow || settings.contains_key(&issuer) {
            let rule =
                "must name a setting that is required and has a pattern, and none of those that are found";
            return Err(Problem::new(format!("{key}.issuer"), rule));
        }
        let required =
            settings.keys().find(|name| self.config.get(*name).is_some_and(|field| field.required));
        if let Some(name) = required {
            let rule = "must not be required: no caller gives it";
            return Err(Problem::new(format!("{key}.settings.{name}"), rule));
        }
        let values = ["issuer", "private_key", "registration_access_token", "registration_client_uri"];
        if file.registers_app && values.iter().any(|name| !self.app.contains_key(*name)) {
            let rule = format!("must come with the app values {}", values.join(", "));
            return Err(Problem::new(format!("{key}.registers_app"), rule));
        }
        Ok(Discovery { issuer, settings, registers_app: file.registers_app })
    }

    fn setting(&self, key: String, name: &str) -> Result<FieldName, Problem> {
        let known = self.config.get_key_value(name).map(|(name, _)| name.clone());
        let text = || format!("names {}, which is no setting of this mode", shown_name(name));
        known.ok_or_else(|| Problem::new(key, text()))
    }
}

/// The scopes of a mode. Every combination of them is legal.
pub(super) fn checked_scopes(file: ScopesFile) -> Scopes {
    let ScopesFile { separator, default, always } = file;
    Scopes { separator, default, always }
}
