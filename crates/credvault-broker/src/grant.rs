//! When the grant of a credential ends, as catalog and answer say it.

use credvault_catalog::{Mode, Rotation};
use credvault_domain::{Grant, Renewal, SecretFields, Timestamp};

/// The grant of a credential that was got, or refreshed, at `sent`. `expires` is the end of its access token or key,
/// `refresh_expires` the end of the refresh token that the answer names.
pub fn grant(
    mode: &Mode,
    fields: &SecretFields,
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    sent: Timestamp,
) -> Grant {
    let Some(refresh) = mode.refresh().filter(|_| !mode.lacks_refresh_token(fields)) else {
        return Grant::fixed(expires);
    };
    let policy = refresh.policy;
    let idle = policy.idle.map(|idle| sent.after(idle));
    let grant = if mode.refresh_sends("refresh_token") {
        match (policy.rotates, refresh_expires) {
            // A refresh gives no other refresh token, so what the answer names is the end.
            (Rotation::No, Some(end)) => Grant::fixed(Some(end)),
            (_, named) => Grant::renewed(named.into_iter().chain(idle).min()),
        }
    } else if mode.refresh_sends("access_token") {
        // The token itself is exchanged for a newer one while it works.
        Grant::renewed(expires.into_iter().chain(idle).min())
    } else {
        // A key that does not end gives tokens.
        Grant { renewal: Renewal::RenewsItself, end: None, lifetime: None }
    };
    Grant { lifetime: policy.consent, ..grant }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use credvault_catalog::Catalog;
    use credvault_domain::{AuthMode, GrantLife, ProviderId};
    use secrecy::SecretString;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const HALF_DAY: Duration = Duration::from_secs(12 * 3600);

    /// The class of a consent that is given now, and after how many half days it ends. The access token lives for an hour.
    fn lives(catalog: &Catalog, provider: &str, mode: &str, named: Option<u32>) -> (Renewal, Option<u32>) {
        let provider = catalog.get(&ProviderId::parse(provider).unwrap()).unwrap();
        let mode = provider.mode(&AuthMode::parse(mode).unwrap()).unwrap();
        let field = |name: &str| (name.to_owned(), SecretString::from("CANARY"));
        let fields = ["access_token", "refresh_token"].map(field);
        let fields = SecretFields::parse("fields", fields).unwrap();
        let expires = Some(NOW.after(Duration::from_secs(3600)));
        let named = named.map(|half_days| NOW.after(HALF_DAY * half_days));
        let life = GrantLife::begun(grant(mode, &fields, expires, named, NOW), NOW);
        let half_days = |end| NOW.until(end).as_secs() / HALF_DAY.as_secs();
        (life.class(), life.end().map(|end| u32::try_from(half_days(end)).unwrap()))
    }

    /// The facts of the shipped files that decide when a customer has to consent again.
    #[test]
    fn grants_of_the_shipped_providers_end_as_their_files_say() {
        let catalog = Catalog::load(None).unwrap();
        let days = |days: u32| Some(days * 2);
        for (provider, mode, class, end) in [
            ("docusign", "oauth2_code", Renewal::RenewsItself, days(30)),
            ("xero", "oauth2_code", Renewal::RenewsItself, days(60)),
            ("shopify", "oauth2_code", Renewal::RenewsItself, days(90)),
            ("etsy", "oauth2_code", Renewal::RenewsItself, days(90)),
            ("microsoft_graph", "oauth2_code", Renewal::RenewsItself, days(90)),
            ("google_ads", "oauth2_code", Renewal::RenewsItself, days(180)),
            ("hubspot", "oauth2_code", Renewal::RenewsItself, None),
            ("zoho_crm", "oauth2_code", Renewal::RenewsItself, None),
            ("shopify", "oauth2_client_credentials", Renewal::RenewsItself, None),
            // However often they are refreshed.
            ("quickbooks", "oauth2_code", Renewal::Ends, days(5 * 365)),
            ("amazon_sp_seller", "oauth2_code", Renewal::Ends, days(365)),
            ("ebay", "oauth2_code", Renewal::Ends, Some(1095)),
            // Nothing refreshes the access token, so the grant ends with it.
            ("mailchimp", "oauth2_code", Renewal::Ends, Some(0)),
        ] {
            assert_eq!(lives(&catalog, provider, mode, None), (class, end), "{provider} {mode}");
        }
    }

    #[test]
    fn the_end_that_an_answer_names_counts_with_that_of_the_file() {
        let catalog = Catalog::load(None).unwrap();
        // A refresh moves it, and the sooner of both counts.
        let shopify = lives(&catalog, "shopify", "oauth2_code", Some(60));
        assert_eq!(shopify, (Renewal::RenewsItself, Some(60)));
        let docusign = lives(&catalog, "docusign", "oauth2_code", Some(80));
        assert_eq!(docusign, (Renewal::RenewsItself, Some(60)));
        // A refresh token that stays the same ends as the answer says.
        assert_eq!(lives(&catalog, "hubspot", "oauth2_code", Some(60)), (Renewal::Ends, Some(60)));
    }
}
