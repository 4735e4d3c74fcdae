//! Who calls: the pages of "Frontend Components", and the adapters of "Integration with Marketplace Adapters".

use std::time::Duration;

use credvault_proto::v1;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{KEY, hides, listed, shopify, started, takealot, tested, user, works, xero};
use crate::harness::provider::{Connected, begin, complete, decide};
use crate::harness::{Client, VaultBuilder, by_provider, refusal};
use crate::on_both;

on_both![the_pages_have_what_their_components_show, one_call_gives_an_adapter_a_credential_that_works];

async fn the_pages_have_what_their_components_show(builder: VaultBuilder) {
    let connected = started(builder).await;
    let portal = user(&connected, "acme", "u1").await;
    // "API Service", "connections.api.ts": its methods are those of a client that is generated from the proto files,
    // as the one that calls here.
    the_form_knows_its_fields(&portal).await;
    the_list_shows_each_with_its_status(&portal).await;
    the_hooks_state_is_never_overwritten_unseen(&portal).await;
}

/// "React Components": `ConnectionForm`, a "Form for adding new connections".
async fn the_form_knows_its_fields(portal: &Client) {
    let request = v1::ListProvidersRequest { page_size: 500, ..Default::default() };
    let providers = portal.connections().list_providers(request).await.unwrap().into_inner().providers;
    let find = |id: &str| providers.iter().find(|provider| provider.id == id).unwrap();
    for id in ["takealot", "amazon_sp_seller", "shopify", "xero"] {
        assert!(!find(id).display_name.is_empty());
    }
    let mode = find("takealot").auth_modes.iter().find(|mode| mode.name == "seller_api").unwrap();
    let schemas = format!("{:?} {:?}", mode.config_schema, mode.credential_schema);
    for part in ["seller_id", "api_key", "writeOnly", "required"] {
        assert!(schemas.contains(part), "{schemas}");
    }
    // Where a button takes the place of a form.
    assert!(find("xero").auth_modes.iter().any(|mode| mode.name == "oauth2_code" && mode.consent));
    // What is wrong is said beside its field.
    let wrong = v1::CreateConnectionRequest { config: None, ..shopify() };
    let refused = portal.create(wrong).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    let fields = refused.get_error_details().bad_request().unwrap().field_violations.clone();
    assert!(fields.iter().any(|field| field.field.contains("shop")), "{fields:?}");
}

/// `ConnectionList`, which "Displays all connections with status", and `IntegrationsPage`, "that combines
/// everything".
async fn the_list_shows_each_with_its_status(portal: &Client) {
    portal.create(xero()).await.unwrap();
    portal.create(takealot(KEY)).await.unwrap();
    let withdrawn = v1::CreateConnectionRequest {
        account_name: "old shop".into(),
        ..takealot("CANARY of a withdrawn key")
    };
    let withdrawn = portal.create(withdrawn).await.unwrap().id;
    tested(portal, &withdrawn).await.unwrap();
    let mut request = v1::ListConnectionsRequest { page_size: 1, ..Default::default() };
    let mut shown = Vec::new();
    loop {
        let page = portal.connections().list_connections(request.clone()).await.unwrap().into_inner();
        hides(&page);
        shown.extend(page.connections.into_iter().map(|one| {
            let state = one.state();
            (one.provider, one.account_name, state, one.health.unwrap().state())
        }));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    shown.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    let row = |provider: &str, account: &str, state, health| {
        (provider.to_owned(), account.to_owned(), state, health)
    };
    use v1::{ConnectionState as State, HealthState as Health};
    let expected = [
        row("takealot", "default", State::Connected, Health::Ok),
        row("takealot", "old shop", State::Error, Health::Error),
        row("xero", "default", State::Disconnected, Health::NotConnected),
    ];
    assert_eq!(shown, expected);
}

/// "React Query Hooks": `useConnections`, "for managing connections state and operations". A click that is sent twice
/// takes effect once, and what another window has changed is not overwritten.
async fn the_hooks_state_is_never_overwritten_unseen(portal: &Client) {
    let request_id = "0195a1b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".to_owned();
    let click = v1::CreateConnectionRequest { request_id, ..shopify() };
    let first = portal.create(click.clone()).await.unwrap();
    assert_eq!(portal.create(click).await.unwrap().id, first.id);
    let before = listed(portal).await.len();
    let rename = |name: &str| v1::UpdateConnectionRequest {
        connection: Some(v1::Connection {
            id: first.id.clone(),
            account_name: name.to_owned(),
            etag: first.etag.clone(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["account_name".into()] }),
        ..Default::default()
    };
    portal.connections().update_connection(rename("main shop")).await.unwrap();
    let stale = portal.connections().update_connection(rename("my shop")).await.unwrap_err();
    assert_eq!(refusal(&stale), "Aborted ETAG_MISMATCH");
    let names: Vec<_> = listed(portal).await.into_iter().map(|one| one.account_name).collect();
    assert_eq!(names.len(), before);
    assert!(names.iter().any(|name| name == "main shop"), "{names:?}");
}

/// `getMarketplaceCredentials(userId, organizationId, marketplaceId)`, in one call.
async fn get_marketplace_credentials(
    adapter: &Client,
    user: &str,
    organisation: &str,
    marketplace: &str,
) -> Result<v1::Credential, Status> {
    let request = v1::FetchCredentialRequest { user_id: user.to_owned(), ..by_provider(marketplace) };
    adapter.acting_for(organisation, None).fetch(request).await
}

/// "Integration with Marketplace Adapters": "a standardized way for marketplace adapters to securely access
/// credentials".
async fn one_call_gives_an_adapter_a_credential_that_works(builder: VaultBuilder) {
    let connected = started(builder).await;
    let organisation = connected.vault.app("acme").await;
    connected.vault.tenant("globex").await;
    let adapter = connected.vault.client("app").await;
    let missing = get_marketplace_credentials(&adapter, "u1", "acme", "takealot").await.unwrap_err();
    assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");
    let facts = missing.get_error_details().error_info().unwrap().metadata.clone();
    assert_eq!((facts["provider"].as_str(), facts["user"].as_str()), ("takealot", "u1"));

    // The user's own comes before the organisation's, and another organisation has neither.
    organisation.create(takealot("sim_key_organisation-CANARY")).await.unwrap();
    user(&connected, "acme", "u1").await.create(takealot(KEY)).await.unwrap();
    for (user, key) in [("u1", KEY), ("u2", "sim_key_organisation-CANARY")] {
        let credential = get_marketplace_credentials(&adapter, user, "acme", "takealot").await.unwrap();
        assert_eq!(credential.fields["api_key"], key);
        assert!(works(&credential).await, "its request_auth is all that a request needs");
    }
    let foreign = get_marketplace_credentials(&adapter, "u1", "globex", "takealot").await.unwrap_err();
    assert_eq!(refusal(&foreign), "NotFound CREDENTIAL_NOT_CONFIGURED");
    tokens_are_fresh_and_refresh_tokens_stay(&connected, &adapter).await;
    // Who asked for whom is on record.
    let events = organisation.events().await;
    let fetches = events.iter().filter(|event| {
        event.action == "FetchCredential" && event.provider == "takealot" && event.owner_user_id == "u1"
    });
    let mut services = fetches.map(|event| event.service.as_str());
    assert!(services.any(|service| service == "spiffe://test.local/app"), "{events:?}");
}

/// An adapter never sees an expired token of Xero, and never the refresh token.
async fn tokens_are_fresh_and_refresh_tokens_stay(connected: &Connected, adapter: &Client) {
    connected.provider.behave(|behaviour| behaviour.access_token_seconds = 900);
    let owner = adapter.acting_for("acme", Some("u1"));
    let id = owner.create(xero()).await.unwrap().id;
    let begun = begin(&owner, &id, "own browser").await;
    let back = decide(&begun.authorization_url, "organisation-1", "allow").await;
    complete(&owner, &back, "own browser").await.unwrap();
    let fetch = async || get_marketplace_credentials(adapter, "u1", "acme", "xero").await.unwrap();
    let first = fetch().await;
    assert!(works(&first).await && !first.fields.contains_key("refresh_token"));
    connected.vault.clock.advance(Duration::from_secs(960));
    let second = fetch().await;
    assert!(works(&second).await);
    assert_ne!(second.fields["access_token"], first.fields["access_token"]);
    let counts = connected.provider.counts();
    assert!(counts.refreshes_granted > 0 && counts.reuses_detected == 0, "{counts:?}");
}
