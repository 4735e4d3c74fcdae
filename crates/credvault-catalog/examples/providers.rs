//! Prints the page `docs/providers.md`, which is generated from the catalog.

use std::io::Write as _;

use credvault_catalog::Catalog;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(std::io::stdout().write_all(Catalog::load(None)?.document().as_bytes())?)
}
