//! Providers whose names are like one that the catalog does not have.

use tonic::{Code, Status};

use super::client::Client;
use super::failure::Failure;
use credvault_proto::v1;

/// How many names are offered at most.
const MOST: usize = 3;

/// Refuses a provider that the catalog does not have, with the names that are like it. Where the catalog cannot be read,
/// nothing is known of the provider, and nothing is refused.
pub(super) async fn check_provider(client: &Client, provider: &str) -> Result<(), Failure> {
    let request = v1::GetProviderRequest { provider: provider.to_owned() };
    match client.connections().get_provider(request).await {
        Err(status) if status.code() == Code::NotFound => {
            let all = ids(client).await.unwrap_or_default();
            let near = near(&all, provider);
            let text = match near.is_empty() {
                true => "there is no such provider; `credvault providers list` shows all of them".to_owned(),
                false => format!(
                    "there is no such provider; {} {} like it, and `credvault providers list` shows all",
                    near.join(", "),
                    if near.len() == 1 { "is" } else { "are" }
                ),
            };
            Err(Status::with_details(Code::NotFound, text, status.details().to_vec().into()).into())
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn ids(client: &Client) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    let mut request = v1::ListProvidersRequest { page_size: 500, ..Default::default() };
    loop {
        let page = client.connections().list_providers(request.clone()).await?.into_inner();
        all.extend(page.providers.into_iter().map(|one| one.id));
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

/// The names of which a word is a part, or which differ from it in few letters, the nearest first.
fn near<'a>(names: &'a [String], word: &str) -> Vec<&'a str> {
    let near = names.iter().filter_map(|name| {
        let distance = distance(name, word);
        let part = word.len() > 2 && (name.contains(word) || word.contains(name.as_str()));
        (part || distance <= word.len() / 3).then_some((distance, name.as_str()))
    });
    let mut near: Vec<(usize, &str)> = near.collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// How many bytes must be added, removed or replaced to turn one word into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, a) in one.bytes().enumerate() {
        let mut next = vec![number + 1];
        for (place, b) in other.bytes().enumerate() {
            let replaced = row[place] + usize::from(a != b);
            next.push(replaced.min(row[place + 1] + 1).min(next[place] + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_like_a_mistyped_one_are_offered() {
        let names = ["amazon_ads", "amazon_sp_seller", "shopify", "simulator"].map(str::to_owned);
        assert_eq!(near(&names, "simulater"), ["simulator"]);
        assert_eq!(near(&names, "amazon"), ["amazon_ads", "amazon_sp_seller"]);
        assert!(near(&names, "walmart").is_empty());
        assert_eq!((distance("kitten", "sitting"), distance("", "ab"), distance("ab", "ab")), (3, 2, 0));
    }
}
