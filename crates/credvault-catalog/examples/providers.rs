//! Prints `docs/providers.md`.

use std::io::Write as _;

use credvault_catalog::Catalog;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(std::io::stdout().write_all(Catalog::load(None)?.document().as_bytes())?)
}
