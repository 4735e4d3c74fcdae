//! Checked consents in a browser, from their shape in a provider file: by code and by delivery.

use std::collections::BTreeMap;

use credvault_domain::FieldName;

use super::conditions::path;
use super::file::tokens::{AuthorizeFile, DeliveryFile, ScopesFile};
use super::names::{Names, refers_to_flow};
use super::problem::Problem;
use super::stage::Stage;
use crate::consent_page::ConsentPage;
use crate::delivery::{Delivery, DeliveryCallback};
use crate::oauth::Authorize;
use crate::scopes::Scopes;
use crate::shown::shown_name;

impl Names<'_> {
    /// Checks a consent that brings a code.
    pub(super) fn authorize(&self, key: &str, file: AuthorizeFile) -> Result<Authorize, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let page = self.page(key, &file.url, file.query, Stage::Consent, &["state"])?;
        if file.sends_issuer && file.issuer.is_none() {
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
            issuer: file.issuer,
            sends_issuer: file.sends_issuer,
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
