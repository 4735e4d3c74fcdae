//! The page `docs/providers.md` says what the catalog says.

use std::path::Path;

use credvault_catalog::Catalog;

#[test]
fn the_document_about_providers_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let generated = Catalog::load(None).expect("the embedded files are sound").document();
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = stored.lines().zip(generated.lines()).position(|(stored, new)| stored != new);
    let line = differs.unwrap_or_else(|| stored.lines().count().min(generated.lines().count())) + 1;
    assert!(
        stored == generated,
        "docs/providers.md is not what the catalog says, from line {line} on; regenerate it:\n\
         cargo run -p credvault-catalog --example providers > docs/providers.md"
    );
}

#[test]
fn the_document_speaks_of_every_provider_and_mode() {
    let catalog = Catalog::load(None).expect("the embedded files are sound");
    let document = catalog.document();
    for provider in catalog.iter() {
        assert!(
            document.contains(&format!("\n## {}\n\nId: `{}`.", provider.display_name, provider.id)),
            "{}",
            provider.id
        );
        for (name, mode) in provider.modes() {
            assert!(
                document.contains(&format!("\n### `{name}`: {}\n", mode.display_name)),
                "{}.{name}",
                provider.id
            );
        }
        for fact in provider.unconfirmed.iter().flatten() {
            assert!(document.contains(&format!("\n- {fact}\n")), "{}: {fact}", provider.id);
        }
        for (name, mode) in provider.modes() {
            for (about, fact) in mode.unconfirmed() {
                let line = format!("\n- Unconfirmed {about}: {fact}\n");
                assert!(document.contains(&line), "{}.{name}: {about}", provider.id);
            }
            let why = mode.no_scopes().map(|why| format!("\n- Scopes: none to choose. {why}\n"));
            assert!(why.is_none_or(|why| document.contains(&why)), "{}.{name}", provider.id);
        }
    }
}
