//! Names and values of a query or a form, and links that carry them on. Knows no page.

use url::form_urlencoded;

/// Names and values in their order. It has no `Debug`, because a form may hold a secret.
#[derive(Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a query or the body of a form.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first value of a name without blanks around it; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.exact(name).trim()
    }

    /// The first value of a name as it was sent; empty if there is none.
    pub(crate) fn exact(&self, name: &str) -> &str {
        self.0.iter().find(|(each, _)| each == name).map_or("", |(_, value)| value)
    }

    /// All values of a name, which checkboxes may send several times.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(each, value)| each == name && !value.is_empty());
        named.map(|(_, value)| value.clone()).collect()
    }

    /// A number that the console itself has put into a link; 0 if it is none.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.get(name).parse().unwrap_or(0)
    }

    /// The tenant that the page is about; empty for the platform itself.
    pub(crate) fn tenant(&self) -> &str {
        self.get("tenant")
    }
}

/// An address of the console's own with these values. Empty ones are left out.
pub(crate) fn link(path: &str, pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_carried_on() {
        let fields = Fields::parse(b"tenant=+acme+&id=a&id=b&id=&secret=+x+&from=50");
        assert_eq!((fields.tenant(), fields.exact("secret"), fields.get("none")), ("acme", " x ", ""));
        assert_eq!(fields.all("id"), ["a", "b"]);
        assert_eq!((fields.number("from"), fields.number("tenant")), (50, 0));
        assert_eq!(link("/audit", &[("tenant", ""), ("page", "a&b")]), "/audit?page=a%26b");
        assert_eq!(link("/audit", &[("tenant", "")]), "/audit");
    }
}
