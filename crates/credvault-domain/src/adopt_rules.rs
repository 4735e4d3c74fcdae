//! Which secrets of others a tenant may refer to in an external store: patterns that an operator writes, each with the
//! tenant's id in it. They are the wall between tenants there, for the store knows the vault only.
//!
//! A name is compared as text, so it must be of one spelling: what a server might read as another name (`..`, `//`, a
//! percent sign) fits no pattern.

use crate::{NameError, TenantId};

/// Where the tenant's id stands in a pattern.
const TENANT: &str = "{tenant}";
const MAX_PATTERN_BYTES: usize = 200;
const MAX_NAME_BYTES: usize = 512;

/// Patterns of names of secrets. Without any, no tenant may refer to a secret of others.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AdoptRules(Vec<Pattern>);

/// A pattern such as `customers/{tenant}/*`: what stands before and behind the tenant's id, and whether more follows.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern {
    before: String,
    after: String,
    open: bool,
}

impl AdoptRules {
    /// Adds a pattern. It has `{tenant}` once; behind that, nothing or a character that no tenant's id has; and at its end
    /// perhaps a `*`, which stands for one or more characters but no `/` and no `:`.
    ///
    /// # Errors
    /// The pattern breaks this rule, or it and an earlier one could give one name to two tenants.
    pub fn add(&mut self, pattern: &str) -> Result<(), NameError> {
        let pattern = Pattern::parse(pattern)?;
        if self.0.iter().any(|other| pattern.overlaps(other)) {
            return Err(NameError(
                "must not continue what another pattern has before {tenant}, nor the other way round: a name could be of \
                 two tenants",
            ));
        }
        self.0.push(pattern);
        Ok(())
    }

    /// Whether a tenant may refer to the secret of this name. The platform's own namespace never may.
    pub fn allows(&self, tenant: &TenantId, name: &str) -> bool {
        let is_sound = name.len() <= MAX_NAME_BYTES && is_plain(name) && !tenant.is_platform();
        is_sound && self.0.iter().any(|pattern| pattern.fits(tenant.as_str(), name))
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, NameError> {
        const RULE: NameError = NameError(
            "must be a name of 1 to 200 characters of A-Z a-z 0-9 _ - . / : @ + = ~ with {tenant} in it once, such as \
             customers/{tenant}/*",
        );
        let (before, after) =
            text.split_once(TENANT).filter(|_| text.len() <= MAX_PATTERN_BYTES).ok_or(RULE)?;
        let (after, open) = after.strip_suffix('*').map_or((after, false), |after| (after, true));
        if !is_plain(&format!("{before}t{after}{}", if open { "x" } else { "" })) {
            return Err(RULE);
        }
        let begun_by = after.bytes().next();
        if begun_by.is_some_and(is_of_tenants) || (begun_by.is_none() && open) {
            return Err(NameError(
                "must have nothing behind {tenant}, or a character that no tenant's id has, such as /",
            ));
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned(), open })
    }

    fn fits(&self, tenant: &str, name: &str) -> bool {
        let rest = name.strip_prefix(self.before.as_str()).and_then(|rest| rest.strip_prefix(tenant));
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix(self.after.as_str())) else { return false };
        if self.open { !rest.is_empty() && !rest.contains(['/', ':']) } else { rest.is_empty() }
    }

    /// Whether another tenant's id could stand, wholly or in part, where one of the two patterns has its own text.
    fn overlaps(&self, other: &Self) -> bool {
        let (short, long) = if self.before.len() <= other.before.len() {
            (&self.before, &other.before)
        } else {
            (&other.before, &self.before)
        };
        let more = long.strip_prefix(short.as_str()).and_then(|more| more.bytes().next());
        more.is_some_and(is_of_tenants)
    }
}

/// Whether ids of tenants may have a character.
fn is_of_tenants(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Whether a name has one spelling only: plain characters, and parts between `/` that are neither empty nor dots. It may
/// begin with a `/`, as names in AWS do.
fn is_plain(name: &str) -> bool {
    let in_alphabet = |byte: u8| is_of_tenants(byte) || b"./:@+=~".contains(&byte);
    let mut parts = name.strip_prefix('/').unwrap_or(name).split('/');
    name.bytes().all(in_alphabet) && parts.all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &[&str]) -> AdoptRules {
        let mut rules = AdoptRules::default();
        for pattern in patterns {
            rules.add(pattern).expect(pattern);
        }
        rules
    }

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id).expect(id)
    }

    #[test]
    fn a_tenant_reaches_what_has_its_id_in_the_right_place() {
        let rules = rules(&["customers/{tenant}/*", "stripe-{tenant}", "projects/p-{tenant}/secrets/*"]);
        for name in
            ["customers/acme/stripe", "customers/acme/a.b-c_d", "stripe-acme", "projects/p-acme/secrets/x"]
        {
            assert!(rules.allows(&tenant("acme"), name), "{name}");
            assert!(!rules.allows(&tenant("globex"), name), "{name}");
        }
        assert!(!AdoptRules::default().allows(&tenant("acme"), "customers/acme/stripe"));
        assert!(AdoptRules::default().is_empty() && !rules.is_empty());
    }

    #[test]
    fn hostile_names_fit_no_pattern() {
        let rules = rules(&["customers/{tenant}/*", "stripe-{tenant}"]);
        let long = format!("customers/acme/{}", "x".repeat(600));
        for name in [
            "",
            "customers/acme",
            "customers/acme/",
            "customers/acme/..",
            "customers/acme/.",
            "customers/acme/../globex/stripe",
            "customers/acme/x/../../globex/stripe",
            "customers/acme//stripe",
            "customers//acme/stripe",
            "//customers/acme/stripe",
            "/customers/acme/stripe",
            "customers/acme/a/b",
            "customers/acme/*",
            "customers/acme/%2e%2e",
            "customers%2Facme/stripe",
            "customers/acme/x?version=1",
            "customers/acme/x#y",
            "customers/acme/x y",
            "customers/acme/x\n",
            "customers/acme/x\0",
            "customers/acme/x:y",
            "customers/acme\\stripe",
            "customers/{tenant}/x",
            "customers/acmé/x",
            "customers/ACME/stripe",
            "Customers/acme/stripe",
            "customers/acme2/stripe",
            "customers/acme-2/stripe",
            "xcustomers/acme/stripe",
            "projects/other/secrets/stripe-acme",
            "arn:aws:secretsmanager:eu-central-1:1:secret:customers/acme/stripe",
            "stripe-acme-2",
            "stripe-acme2",
            "stripe-",
            &long,
        ] {
            assert!(!rules.allows(&tenant("acme"), name), "{name}");
        }
    }

    #[test]
    fn an_id_that_begins_with_another_one_reaches_its_own_only() {
        let rules = rules(&["customers/{tenant}/*", "x/{tenant}"]);
        for (one, other) in [("a", "ab"), ("a", "a-b"), ("a", "a_b"), ("ab", "a"), ("a-b", "a"), ("a", "A")] {
            for name in [format!("customers/{other}/x"), format!("x/{other}")] {
                assert!(!rules.allows(&tenant(one), &name), "{one} {name}");
                assert!(rules.allows(&tenant(other), &name), "{other} {name}");
            }
        }
    }

    #[test]
    fn the_platform_reaches_nothing() {
        let rules = rules(&["customers/{tenant}/*"]);
        assert!(!rules.allows(&TenantId::platform(), "customers/:platform/x"));
    }

    #[test]
    fn patterns_that_would_not_hold_tenants_apart_are_refused() {
        let long = format!("{}{{tenant}}", "x".repeat(200));
        for pattern in [
            "",
            "*",
            "customers/*",
            "customers/acme",
            "{tenant}*",
            "customers/{tenant}*",
            "customers/{tenant}-*",
            "customers/{tenant}-x",
            "customers/{tenant}x/*",
            "customers/{tenant}/*/x",
            "customers/*/{tenant}",
            "{tenant}/{tenant}",
            "customers/{Tenant}/x",
            "customers/{ tenant }/x",
            "customers/{tenant}/../*",
            "../{tenant}/*",
            "customers//{tenant}/*",
            "customers/{tenant}//*",
            "customers/{tenant}/",
            "customers/{tenant}/%2F*",
            "customers/{tenant}/ä",
            &long,
        ] {
            assert!(AdoptRules::default().add(pattern).is_err(), "{pattern}");
        }
        for pattern in
            ["{tenant}", "{tenant}/*", "/app/{tenant}/db", "a.{tenant}.b", "customers/{tenant}/app-*"]
        {
            rules(&[pattern]);
        }
    }

    #[test]
    fn two_patterns_that_could_give_one_name_to_two_tenants_are_refused() {
        for (first, second) in [
            ("x-{tenant}", "x-y-{tenant}"),
            ("x/{tenant}/*", "x/shared/{tenant}"),
            ("{tenant}/*", "shared/{tenant}"),
            ("a{tenant}/*", "ab{tenant}/*"),
        ] {
            for (one, other) in [(first, second), (second, first)] {
                let mut rules = rules(&[one]);
                assert!(rules.add(other).is_err(), "{one} {other}");
            }
        }
        rules(&["x/{tenant}/*", "x/{tenant}", "x/{tenant}/y/*", "y/{tenant}/*", "x-{tenant}"]);
    }
}
