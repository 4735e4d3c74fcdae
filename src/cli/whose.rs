//! Whose things a command is about: a tenant's, or the platform's. Lists say it, so that an answer about the platform is not taken
//! for one about a tenant.

/// The owner of what a command shows or changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    /// The platform itself, for its own things.
    Platform,
    /// The tenant with this id.
    Tenant(String),
    /// The tenant that the token of the call names.
    OfToken,
    /// All tenants and the platform together.
    All,
}

impl Whose {
    /// The tenant, or the platform where none is named.
    pub(super) fn of(tenant: Option<String>) -> Self {
        tenant.map_or(Self::Platform, Self::Tenant)
    }

    /// The owner that requests of administrators name so: an empty id is the platform.
    pub(super) fn with_id(id: &str) -> Self {
        Self::of(Some(id.to_owned()).filter(|id| !id.is_empty()))
    }

    /// The tenant as requests of administrators name it: empty for all that is no single tenant.
    pub(super) fn tenant_id(&self) -> String {
        match self {
            Self::Tenant(id) => id.clone(),
            Self::Platform | Self::OfToken | Self::All => String::new(),
        }
    }

    /// The owner behind a noun, such as `of the tenant acme`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Platform => "of the platform".to_owned(),
            Self::Tenant(id) => format!("of the tenant {id}"),
            Self::OfToken => "of the tenant that the token names".to_owned(),
            Self::All => "of all tenants and the platform".to_owned(),
        }
    }

    /// The line that stands over a table.
    pub(super) fn title(&self) -> String {
        format!("{}:", self.text())
    }

    /// The line that stands in place of an empty table.
    pub(super) fn none(&self) -> String {
        match self {
            Self::Platform => "none on the platform; name a tenant with --tenant".to_owned(),
            Self::Tenant(_) | Self::OfToken | Self::All => format!("none {}", self.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Whose;

    #[test]
    fn a_list_says_whose_it_is() {
        let (platform, acme) = (Whose::of(None), Whose::of(Some("acme".to_owned())));
        assert_eq!((Whose::with_id(""), Whose::with_id("acme")), (Whose::Platform, acme.clone()));
        assert_eq!((platform.tenant_id(), acme.tenant_id()), (String::new(), "acme".to_owned()));
        assert_eq!(
            (platform.title(), acme.title()),
            ("of the platform:".into(), "of the tenant acme:".into())
        );
        assert_eq!(acme.none(), "none of the tenant acme");
        assert!(platform.none().ends_with("name a tenant with --tenant"));
    }
}
