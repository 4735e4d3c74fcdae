//! A requirement on the command line: `PROVIDER[@MODES][/ACCOUNT][:SCOPES]`, such as
//! `shopify@oauth2_code/shop-1:read_orders,read_products`. The vault checks what the parts contain.

use credvault_proto::v1;

/// How the help of a command writes a requirement.
pub(super) const REQUIREMENT: &str = "PROVIDER[@MODES][/ACCOUNT][:SCOPES]";

/// Takes a requirement apart. Scopes begin after the first colon, so an account's name that has one cannot be given here.
pub(super) fn requirement(text: &str, works_without: bool) -> v1::Requirement {
    let (who, scopes) = text.split_once(':').unwrap_or((text, ""));
    let (what, account) = who.split_once('/').unwrap_or((who, ""));
    let (provider, modes) = what.split_once('@').unwrap_or((what, ""));
    v1::Requirement {
        provider: provider.to_owned(),
        auth_modes: list(modes),
        scopes: list(scopes),
        account_name: account.to_owned(),
        works_without,
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_but_the_provider_may_be_left_out() {
        let whole = requirement("shopify@oauth2_code,token/Shop 1@eu:read_orders,https://a.test/b", true);
        assert_eq!((whole.provider.as_str(), whole.account_name.as_str()), ("shopify", "Shop 1@eu"));
        assert_eq!(whole.auth_modes, ["oauth2_code", "token"]);
        assert_eq!(
            (whole.scopes.as_slice(), whole.works_without),
            (&list("read_orders,https://a.test/b")[..], true)
        );
        let named = |provider: &str| v1::Requirement { provider: provider.to_owned(), ..Default::default() };
        assert_eq!(requirement("xero", false), named("xero"));
        let scoped = requirement("xero:files", false);
        assert_eq!(scoped, v1::Requirement { scopes: vec!["files".to_owned()], ..named("xero") });
        let with_account = requirement("xero/b", false);
        assert_eq!(with_account, v1::Requirement { account_name: "b".to_owned(), ..named("xero") });
    }
}
