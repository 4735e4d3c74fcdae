//! Connections through their life, and requests that are made twice.

mod connections;
mod records;

use credvault_store::Page;

fn page(size: u32, token: &str, query: &str) -> Page {
    Page { size, token: token.to_owned(), query: query.as_bytes().to_vec() }
}
