//! Keys: which there are, how a rotation stands while it runs, and how one begins. No page shows a key; the API has none.

use axum::Extension;
use axum::extract::State;
use axum::response::{Html, Redirect};
use credvault_proto::v1;
use maud::{Markup, html};

use super::{Done, Given, Shared};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Section, input, table};
use crate::refusal::Refusal;
use crate::words::{Tone, badge, number, when, word};

/// How often the script asks how a rotation stands, in milliseconds.
const LOOK_EVERY_MS: u32 = 2_000;

/// The keys of a tenant, or of the platform.
pub(crate) async fn show(State(console): Shared, Extension(fields): Given) -> Answer {
    let status = status(&console, &fields).await?;
    let of_platform = fields.tenant().is_empty();
    let body = html! {
        (present(&fields, &status))
        section aria-labelledby="rotate" {
            h2 id="rotate" { "Rotate" }
            (rotate_form(&console, &fields)?)
            @if of_platform { (rotate_root_form(&console)?) }
            @else { p { a href="/keys" { "Root keys are rotated on the page of the platform" } } }
        }
    };
    Ok(Page::new(Section::Keys, "Keys", &fields, body))
}

/// How rotations and keys stand, alone: what the script puts in place of what it has shown.
pub(crate) async fn progress(
    State(console): Shared,
    Extension(fields): Given,
) -> Result<Html<String>, Refusal> {
    let status = status(&console, &fields).await?;
    Ok(Html(present(&fields, &status).into_string()))
}

async fn status(console: &Console, fields: &Fields) -> Result<v1::GetKeyStatusResponse, Refusal> {
    let request = v1::GetKeyStatusRequest { tenant_id: fields.tenant().to_owned() };
    Ok(console.vault.admin().get_key_status(request).await?.into_inner())
}

/// The latest rotations and the keys, which a rotation changes. While one runs, it says where the script finds all of it later,
/// so that the keys are not older than the rotation. Forms are outside of it: they keep what is typed.
fn present(fields: &Fields, status: &v1::GetKeyStatusResponse) -> Markup {
    let runs = latest(status).any(|(_, progress)| progress.running);
    let later = link("/keys/progress", &[("tenant", fields.tenant())]);
    let roots: Vec<_> = status.root_keys.iter().map(root).collect();
    let keys: Vec<_> = status.tenant_keys.iter().map(key).collect();
    let root_headings = ["Root key", "From", "Name", "State", "This replica has it", "Wraps", "Known since"];
    let headings = ["Version", "State", "Root key", "Values under it", "Uses", "Made"];
    html! {
        div id="present" data-live=[runs.then_some(later)] data-every=[runs.then_some(LOOK_EVERY_MS)] {
            (rotations(status))
            section aria-labelledby="own" {
                h2 id="own" {
                    @if fields.tenant().is_empty() { "The platform's own key" } @else { "The tenant's key" }
                }
                (table("Versions of the key", &headings, &keys))
            }
            section aria-labelledby="roots" {
                h2 id="roots" { "Root keys" }
                (table("Root keys", &root_headings, &roots))
            }
        }
    }
}

/// The latest rotations that there are, each with what it replaces.
fn latest(status: &v1::GetKeyStatusResponse) -> impl Iterator<Item = (&'static str, &v1::RotationProgress)> {
    let all = [("The key", &status.rotation), ("The root key", &status.root_rotation)];
    all.into_iter().filter_map(|(what, progress)| Some((what, progress.as_ref()?)))
}

fn rotations(status: &v1::GetKeyStatusResponse) -> Markup {
    html! {
        section id="rotations" aria-labelledby="rotations-title" {
            h2 id="rotations-title" { "Latest rotations" }
            @if latest(status).next().is_none() { p { "There was none." } }
            @for (what, progress) in latest(status) { (rotation(what, progress)) }
        }
    }
}

fn rotation(what: &str, progress: &v1::RotationProgress) -> Markup {
    let (tone, state) = if progress.running { (Tone::Warn, "in progress") } else { (Tone::Good, "ended") };
    let done = progress.done.min(progress.total);
    html! {
        div {
            p {
                strong { (what) } " " (badge(tone, state)) " "
                (number(progress.done)) " of " (number(progress.total))
                @if progress.running { ", " (format!("{:.0}", progress.per_second)) " a second" }
                ", begun " (when(progress.begin_time.as_ref()))
                @if progress.end_time.is_some() { ", ended " (when(progress.end_time.as_ref())) }
            }
            progress max=(progress.total.max(1)) value=(done) aria-label={ "Rotation: " (what) } {}
            @if progress.failed > 0 {
                p class="refusal" { (number(progress.failed)) " values do not open and keep the old key; the vault's log names them." }
            }
            @if !progress.trouble.is_empty() { p class="refusal" { "At the moment it does not get on: " (progress.trouble) } }
            @if progress.retire_time.is_some() {
                p class="quiet" { "The keys that it has replaced are destroyed from " (when(progress.retire_time.as_ref())) " on." }
            }
        }
    }
}

fn root(root: &v1::RootKeyStatus) -> Vec<Markup> {
    let tone = match root.state() {
        v1::RootKeyState::Active => Tone::Good,
        v1::RootKeyState::Previous => Tone::Warn,
        v1::RootKeyState::Known | v1::RootKeyState::Retired | v1::RootKeyState::Unspecified => Tone::Quiet,
    };
    vec![
        html! { code { (root.id) } },
        html! { (root.source) },
        html! { (root.name) },
        badge(tone, &word(root.state().as_str_name(), "ROOT_KEY_STATE_")),
        html! { @if root.configured { "yes" } @else { "no" } },
        html! { @if let Some(keys) = root.wrapped_keys { (number(keys)) } @else { "–" } },
        when(root.create_time.as_ref()),
    ]
}

fn key(key: &v1::TenantKeyStatus) -> Vec<Markup> {
    let (tone, state) = if key.active { (Tone::Good, "active") } else { (Tone::Quiet, "replaced") };
    vec![
        html! { (key.version) },
        badge(tone, state),
        html! { code { (key.root_key_id) } },
        html! { (number(key.sealed_records)) },
        html! { (number(key.uses)) },
        when(key.create_time.as_ref()),
    ]
}

fn rotate_form(console: &Console, fields: &Fields) -> Result<Markup, Refusal> {
    let request_id = console.request_id()?;
    Ok(html! {
        details class="ask" {
            summary { "Rotate this key…" }
            form method="post" action="/keys/rotate" {
                (console.form_key()) (request_id)
                input type="hidden" name="tenant" value=(fields.tenant());
                p {
                    "New values are sealed under a new version at once, and older ones anew in the background, while the vault serves."
                }
                label {
                    input type="checkbox" name="retire_at_once" value="yes";
                    " Destroy the replaced versions as soon as nothing is under them: for a key that may have leaked"
                }
                button class="act" { "Rotate the key" }
            }
        }
    })
}

fn rotate_root_form(console: &Console) -> Result<Markup, Refusal> {
    let request_id = console.request_id()?;
    Ok(html! {
        details class="ask" {
            summary { "Rotate the root key…" }
            form method="post" action="/keys/rotate-root" {
                (console.form_key()) (request_id)
                p { "The keys of all tenants are wrapped anew, while the vault serves. Read docs/runbooks.md first: every replica must be configured with the new root key." }
                (input("text", "root_key_id", "Move to the root key (id; empty: the other one that is configured)", ""))
                label {
                    input type="checkbox" name="new_version" value="yes";
                    " Have the key manager make a new version of the key in use first"
                }
                button class="act" { "Rotate the root key" }
            }
        }
    })
}

/// Begins the rotation of a tenant's key, or of the platform's own. It does not depend on the stream that tells of it.
pub(crate) async fn rotate(State(console): Shared, Extension(fields): Given) -> Done {
    let request = v1::RotateTenantKeyRequest {
        tenant_id: fields.tenant().to_owned(),
        retire_at_once: fields.get("retire_at_once") == "yes",
        request_id: fields.get("request_id").to_owned(),
        ..Default::default()
    };
    console.vault.admin().rotate_tenant_key(request).await?.into_inner().message().await?;
    Ok(Redirect::to(&link("/keys", &[("tenant", fields.tenant()), ("done", "rotation")])))
}

/// Begins the rotation of the root key.
pub(crate) async fn rotate_root(State(console): Shared, Extension(fields): Given) -> Done {
    let request = v1::RotateRootKeyRequest {
        root_key_id: fields.get("root_key_id").to_owned(),
        new_version: fields.get("new_version") == "yes",
        request_id: fields.get("request_id").to_owned(),
        ..Default::default()
    };
    console.vault.admin().rotate_root_key(request).await?.into_inner().message().await?;
    Ok(Redirect::to(&link("/keys", &[("done", "rotation")])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the script shows after a rotation has ended has the keys as they are then, and does not ask again.
    #[test]
    fn keys_are_part_of_what_follows_a_rotation() {
        let shown = |running| {
            let progress = v1::RotationProgress { running, total: 9, done: 9, ..Default::default() };
            let key = v1::TenantKeyStatus { version: 42, active: true, ..Default::default() };
            let status = v1::GetKeyStatusResponse {
                rotation: Some(progress),
                tenant_keys: vec![key],
                ..Default::default()
            };
            present(&Fields::parse(b"tenant=acme"), &status).into_string()
        };
        assert!(shown(true).contains("data-live=\"/keys/progress?tenant=acme\""), "{}", shown(true));
        assert!(shown(false).starts_with("<div id=\"present\">"), "{}", shown(false));
        assert!(shown(false).contains(">42</td>"), "{}", shown(false));
    }
}
