//! What the operator says of itself on every page.

/// The operator's name, and where its pages lead to.
#[derive(Clone, Debug)]
pub struct Brand {
    /// The name that the customers know.
    pub name: String,
    /// Where a person gets help.
    pub support: Option<Link>,
    /// The URL of the page about privacy.
    pub privacy_url: Option<String>,
    /// The URL at which people continue who come from no page that waits for them.
    pub home_url: Option<String>,
}

/// A place where a person gets help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// An e-mail address, which the page shows.
    Mail(String),
    /// The URL of a page.
    Page(String),
}

impl Link {
    /// Where the link leads to.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Mail(address) => format!("mailto:{address}"),
            Self::Page(url) => url.clone(),
        }
    }
}
