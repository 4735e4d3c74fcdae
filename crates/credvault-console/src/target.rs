//! Where the console leads: which vault it calls, and as which caller. Every page says it, so that the pages of two vaults
//! are not taken for each other.

use maud::{Markup, html};

/// The vault that a console calls, and the caller that it is there.
pub struct Target {
    /// The vault's address, as the profile has it.
    pub address: String,
    /// The SPIFFE ID that the profile's certificate names.
    pub caller: String,
    /// What the profile calls this vault, such as `production`.
    pub environment: Option<String>,
}

impl Target {
    /// What tells this vault from others, for the titles of windows.
    pub(crate) fn name(&self) -> &str {
        self.environment.as_deref().unwrap_or(&self.address)
    }

    /// The line on every page: the environment if it has a name, the address and the caller.
    pub(crate) fn shown(&self) -> Markup {
        html! {
            p class="target" {
                @if let Some(environment) = &self.environment { strong { (environment) } " " }
                "vault " code { (self.address) } " as " code { (self.caller) }
            }
        }
    }

    /// The SPIFFE ID of a service that a person names, who may leave out the trust domain of the console's own caller.
    pub(crate) fn service(&self, named: &str) -> String {
        let domain = self.caller.strip_prefix("spiffe://").and_then(|rest| rest.split('/').next());
        match domain {
            Some(domain) if !named.is_empty() && named != "vault" && !named.contains("://") => {
                format!("spiffe://{domain}/{}", named.trim_start_matches('/'))
            }
            _ => named.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(environment: Option<&str>) -> Target {
        Target {
            address: "https://vault.example:7443".to_owned(),
            caller: "spiffe://example.org/ops/operator".to_owned(),
            environment: environment.map(str::to_owned),
        }
    }

    #[test]
    fn a_service_may_be_named_without_its_trust_domain() {
        for (named, id) in [
            ("sync", "spiffe://example.org/sync"),
            ("ns/sync", "spiffe://example.org/ns/sync"),
            ("spiffe://other.org/sync", "spiffe://other.org/sync"),
            ("vault", "vault"),
            ("", ""),
        ] {
            assert_eq!(target(None).service(named), id);
        }
    }

    #[test]
    fn vault_caller_and_environment_are_shown_and_escaped() {
        let text = target(Some("<production>")).shown().into_string();
        for part in ["&lt;production&gt;", "https://vault.example:7443", "spiffe://example.org/ops/operator"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(target(None).name(), "https://vault.example:7443");
        assert_eq!(target(Some("production")).name(), "production");
    }
}
