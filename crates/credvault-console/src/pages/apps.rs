//! The apps that the platform, or a tenant, has registered at providers: storing one, and replacing its secret. A secret goes
//! from the form to the vault; no page ever has it.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use credvault_proto::v1;
use maud::{Markup, html};

use super::{Done, Given, Shared};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Paging, Section, input, table};
use crate::refusal::Refusal;
use crate::words::when;

/// The apps, and a form for one more.
pub(crate) async fn list(State(console): Shared, Extension(fields): Given) -> Answer {
    let request = v1::ListOAuthAppsRequest {
        tenant_id: fields.tenant().to_owned(),
        page_token: fields.get("page").to_owned(),
        ..Default::default()
    };
    let listed = console.vault.admin().list_o_auth_apps(request).await?.into_inner();
    let rows: Vec<_> = listed.apps.iter().map(|app| row(&fields, app)).collect();
    let (next, shown) = (listed.next_page_token.as_str(), listed.apps.len());
    let carried = vec![("tenant", fields.tenant())];
    let paging = Paging { path: "/apps", carried, next, seen: fields.number("seen"), shown };
    let headings = ["Provider", "Client id", "Redirect URI", "Scopes", "Hints", "Changed", "Secret"];
    let body = html! {
        @if listed.apps.is_empty() { p { "There is no app." } }
        @else { (table("Apps", &headings, &rows)) (paging.links()) }
        (form(&console, &fields)?)
    };
    Ok(Page::new(Section::Apps, "Apps", &fields, body))
}

fn row(fields: &Fields, app: &v1::OAuthApp) -> Vec<Markup> {
    let hints: Vec<_> = app.hints.iter().map(|(name, hint)| format!("{name}: {hint}")).collect();
    let replace = link(
        "/apps/rotate",
        &[
            ("tenant", fields.tenant()),
            ("provider", app.provider.as_str()),
            ("client_id", app.client_id.as_str()),
            ("issuer", issuer(app)),
        ],
    );
    vec![
        html! { (app.provider) @if !issuer(app).is_empty() { " at " (issuer(app)) } },
        html! { code { (app.client_id) } },
        html! { code { (app.redirect_uri) } },
        html! { code { (app.default_scopes.join(" ")) } },
        html! { (hints.join(", ")) },
        when(app.update_time.as_ref()),
        html! { a href=(replace) aria-label={ "Replace the secret of " (app.provider) } { "Replace…" } },
    ]
}

fn issuer(app: &v1::OAuthApp) -> &str {
    app.settings.get("issuer").map_or("", String::as_str)
}

/// The form that replaces the secret of an app and nothing else, on a page of its own.
pub(crate) async fn ask_to_rotate(State(console): Shared, Extension(fields): Given) -> Answer {
    let app = find(&console, &fields).await?;
    let request_id = console.request_id()?;
    let body = html! {
        dl {
            dt { "Provider" } dd { (app.provider) @if !issuer(&app).is_empty() { " at " (issuer(&app)) } }
            dt { "Client id" } dd { code { (app.client_id) } }
            dt { "Changed" } dd { (when(app.update_time.as_ref())) }
        }
        form class="tall" method="post" action="/apps/rotate" {
            (console.form_key()) (request_id)
            input type="hidden" name="tenant" value=(fields.tenant());
            input type="hidden" name="provider" value=(app.provider);
            input type="hidden" name="client_id" value=(app.client_id);
            input type="hidden" name="issuer" value=(issuer(&app));
            (secret())
            (keep())
            button class="act" { "Replace the secret" }
        }
        p { a href=(link("/apps", &[("tenant", fields.tenant())])) { "Back to the apps" } }
    };
    Ok(Page::new(Section::Apps, "Replace the secret of an app", &fields, body))
}

fn secret() -> Markup {
    html! { label { "New secret " input type="password" name="client_secret" required autocomplete="off" maxlength="4096"; } }
}

fn keep() -> Markup {
    html! {
        label {
            input type="checkbox" name="keep" value="yes";
            " Keep the secret before valid, for webhooks that are still signed with it"
        }
    }
}

fn form(console: &Console, fields: &Fields) -> Result<Markup, Refusal> {
    let request_id = console.request_id()?;
    Ok(html! {
        details class="ask" {
            summary { "Store an app…" }
            form method="post" action="/apps" {
                (console.form_key()) (request_id)
                input type="hidden" name="tenant" value=(fields.tenant());
                p { "An app of the same provider is replaced. An empty secret keeps the stored one; docs/providers.md names the settings of each provider." }
                (input("text", "provider", "Provider (id)", ""))
                (input("text", "client_id", "Client id", ""))
                label { "Client secret " input type="password" name="client_secret" autocomplete="off" maxlength="4096"; }
                (keep())
                (input("text", "redirect_uri", "Redirect URI (empty: the vault's own callback)", ""))
                (input("text", "scopes", "Scopes, with blanks between them", ""))
                label {
                    "Settings that are not secret, one NAME=VALUE a line "
                    textarea name="settings" rows="3" autocomplete="off" spellcheck="false" {}
                }
                button class="act" { "Store the app" }
            }
        }
    })
}

/// Stores the app of the form.
pub(crate) async fn put(State(console): Shared, Extension(fields): Given) -> Done {
    let request = v1::PutOAuthAppRequest {
        tenant_id: fields.tenant().to_owned(),
        provider: fields.get("provider").to_owned(),
        client_id: fields.get("client_id").to_owned(),
        client_secret: fields.exact("client_secret").to_owned(),
        keep_previous_secret: fields.get("keep") == "yes",
        redirect_uri: fields.get("redirect_uri").to_owned(),
        default_scopes: fields.get("scopes").split_whitespace().map(str::to_owned).collect(),
        settings: settings(fields.get("settings"))?.into_iter().collect(),
        request_id: fields.get("request_id").to_owned(),
    };
    stored(&console, &fields, request).await
}

/// Pairs of a name and a value, one a line.
fn settings(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pair = |line: &str| {
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| Refusal::of_field("settings", "must have NAME=VALUE on each line"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(pair).collect()
}

/// Replaces the secret of an app. What else the app has is read anew and sent back as it is; the vault keeps secret settings.
pub(crate) async fn rotate(State(console): Shared, Extension(fields): Given) -> Done {
    let app = find(&console, &fields).await?;
    let request = v1::PutOAuthAppRequest {
        tenant_id: fields.tenant().to_owned(),
        provider: app.provider,
        client_id: app.client_id,
        client_secret: fields.exact("client_secret").to_owned(),
        keep_previous_secret: fields.get("keep") == "yes",
        redirect_uri: app.redirect_uri,
        default_scopes: app.default_scopes,
        settings: app.settings,
        request_id: fields.get("request_id").to_owned(),
    };
    if request.client_secret.is_empty() {
        return Err(Refusal::of_field("client_secret", "must be the new secret"));
    }
    stored(&console, &fields, request).await
}

async fn find(console: &Console, fields: &Fields) -> Result<v1::OAuthApp, Refusal> {
    let mut request = v1::ListOAuthAppsRequest {
        tenant_id: fields.tenant().to_owned(),
        page_size: 500,
        ..Default::default()
    };
    let is_meant = |app: &v1::OAuthApp| {
        app.provider == fields.get("provider")
            && app.client_id == fields.get("client_id")
            && issuer(app) == fields.get("issuer")
    };
    loop {
        let page = console.vault.admin().list_o_auth_apps(request.clone()).await?.into_inner();
        if let Some(app) = page.apps.into_iter().find(is_meant) {
            return Ok(app);
        }
        if page.next_page_token.is_empty() {
            return Err(Refusal::missing("This app"));
        }
        request.page_token = page.next_page_token;
    }
}

async fn stored(console: &Console, fields: &Fields, request: v1::PutOAuthAppRequest) -> Done {
    console.vault.admin().put_o_auth_app(request).await?;
    Ok(Redirect::to(&link("/apps", &[("tenant", fields.tenant()), ("done", "app")])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_pairs_and_a_wrong_line_is_not_repeated() {
        let Ok(pairs) = settings("a = 1\n\nb=x=y\r\n") else { panic!("refused") };
        assert_eq!(pairs, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x=y".to_owned())]);
        let Err(refusal) = settings("CANARY") else { panic!("accepted") };
        assert!(!refusal.shown().into_string().contains("CANARY"));
    }
}
