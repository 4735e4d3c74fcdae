//! Whether the catalog has what requirements name. A name that it does not have is refused together with those near it.

use credvault_catalog::{Catalog, Provider};
use credvault_domain::{AuthMode, ProviderId, Requirement, Violations};

use crate::Refusal;

/// The most names that are offered in place of an unknown one.
const MAX_NEAR: usize = 3;

/// Refuses requirements with a provider or an auth mode that the catalog does not have.
///
/// # Errors
/// [`Refusal::RequirementUnknown`] with each such field.
pub(super) fn check_known(catalog: &Catalog, requirements: &[Requirement]) -> Result<(), Refusal> {
    let (mut violations, mut providers) = (Violations::default(), Vec::new());
    for (index, requirement) in requirements.iter().enumerate() {
        let Some(provider) = catalog.get(&requirement.provider) else {
            let field = format!("requirements[{index}].provider");
            violations.add(field, unknown_provider(catalog, &requirement.provider));
            if !providers.contains(&requirement.provider) {
                providers.push(requirement.provider.clone());
            }
            continue;
        };
        for (place, mode) in requirement.auth_modes.iter().enumerate() {
            if provider.mode(mode).is_none() {
                let field = format!("requirements[{index}].auth_modes[{place}]");
                violations.add(field, format!("must be one of {}", modes(provider)));
            }
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Refusal::RequirementUnknown { violations, providers }) }
}

fn unknown_provider(catalog: &Catalog, id: &ProviderId) -> String {
    let near = near(catalog.iter().map(|provider| provider.id.as_str()), id.as_str());
    match near.is_empty() {
        true => "must be the id of a provider; ListProviders shows all of them".to_owned(),
        false => format!("must be the id of a provider, such as {}", near.join(", ")),
    }
}

fn modes(provider: &Provider) -> String {
    provider.modes().map(|(name, _)| AuthMode::as_str(name)).collect::<Vec<_>>().join(", ")
}

/// The names nearest to a word: one is a part of the other, or few letters differ.
fn near<'a>(names: impl Iterator<Item = &'a str>, word: &str) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let distance = distance(name, word);
            let part = word.len() > 2 && (name.contains(word) || word.contains(name));
            (part || distance <= word.len() / 3).then_some((distance, name))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(MAX_NEAR).map(|(_, name)| name).collect()
}

/// How many letters must be added, removed or replaced to turn one word into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        for (place, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let above = *place;
            left = (above + 1).min(left + 1).min(above_left + usize::from(a != b));
            above_left = above;
            *place = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_near_a_misspelt_one_are_offered() {
        let names = ["amazon_ads", "amazon_sp_seller", "shopify", "xero"];
        let near = |word| near(names.into_iter(), word);
        assert_eq!(near("shopfy"), ["shopify"]);
        assert_eq!(near("amazon"), ["amazon_ads", "amazon_sp_seller"]);
        assert_eq!(near("shopify_admin"), ["shopify"]);
        assert!(near("walmart").is_empty());
        assert_eq!((distance("kitten", "sitting"), distance("", "ab"), distance("ab", "ab")), (3, 2, 0));
    }
}
