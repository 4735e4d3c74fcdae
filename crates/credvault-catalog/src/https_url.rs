//! The one spelling of an https URL that all programs read alike. A setting with such a URL decides where secrets go,
//! so a URL that two programs could read as two hosts is refused.

/// The plain form of `text`: host in lower case, no port 443, no slash at the end. `None` if `text` is no https URL
/// without user, query and fragment, or differs from its plain form in more than these.
pub(crate) fn plain_https_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let bare = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.host_str().is_some_and(|host| !host.ends_with('.'));
    let (scheme, rest) = text.split_at_checked("https://".len())?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(":443").unwrap_or(&authority);
    let given = format!("{}{authority}{}", scheme.to_ascii_lowercase(), path.trim_end_matches('/'));
    (bare && url.as_str().trim_end_matches('/') == given).then_some(given)
}

/// Checks that `text` is an https URL in its plain form.
///
/// # Errors
/// The rule that it breaks, without the URL.
pub(crate) fn check_https_url(text: &str) -> Result<(), String> {
    match plain_https_url(text) {
        Some(plain) if plain == text => Ok(()),
        _ => Err(
            "must be an https URL in its plain form, such as https://shop.example or https://shop.example/sub: no user, \
             query or fragment, and nothing that programs read differently, such as a backslash or a host that is not ASCII"
                .to_owned(),
        ),
    }
}
