//! Paths into JSON documents: where a provider's answer or webhook has a value. A path reads; it never changes a
//! document.

use serde_json::Value;

/// A path such as `data.shop.id`, or several alternatives: the first one that leads to something other than null
/// counts. A number is an index into a list. `[kind=ORGANISATION]` is the first element of a list whose member `kind`
/// is that text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Path(Vec<Vec<Part>>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Named(String),
    With(String, String),
}

impl Path {
    /// Parses alternatives, in the order in which they are tried.
    ///
    /// # Errors
    /// What is wrong with a path, as the end of a sentence about its key.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, String> {
        if texts.is_empty() {
            return Err("must have at least one path".to_owned());
        }
        let route = |text: &String| text.split('.').map(Part::parse).collect::<Result<Vec<_>, _>>();
        Ok(Self(texts.iter().map(route).collect::<Result<_, _>>()?))
    }

    /// The path to the member `name` of the document itself.
    pub(crate) fn member(name: &str) -> Self {
        Self(vec![vec![Part::Named(name.to_owned())]])
    }

    /// The value at the path. Null counts as absent.
    pub(crate) fn of<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.all(document).next()
    }

    fn all<'v>(&self, document: &'v Value) -> impl Iterator<Item = &'v Value> {
        let found = move |route: &Vec<Part>| route.iter().try_fold(document, |value, part| part.of(value));
        self.0.iter().filter_map(found).filter(|value| !value.is_null())
    }

    /// All numbers and nonempty texts at the path, as text. A list on the way stands for each of its elements.
    pub(crate) fn every(&self, document: &Value) -> Vec<String> {
        let step = |found: Vec<Value>, part: &Part| -> Vec<Value> {
            let spread = |value: Value| match (part, value) {
                (Part::Named(name), Value::Array(items)) if name.parse::<usize>().is_err() => items,
                (_, value) => vec![value],
            };
            found.into_iter().flat_map(spread).filter_map(|value| part.of(&value).cloned()).collect()
        };
        let routes = self.0.iter().flat_map(|route| route.iter().fold(vec![document.clone()], step));
        let leaves = routes.flat_map(|value| match value {
            Value::Array(items) => items,
            value @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => vec![value],
        });
        leaves.filter_map(|value| text(&value)).collect()
    }

    /// The value as text, if it is a number or a nonempty text.
    pub(crate) fn text(&self, document: &Value) -> Option<String> {
        self.of(document).and_then(text)
    }

    /// For each alternative that leads to a number or a nonempty text, that value as text.
    pub(crate) fn texts(&self, document: &Value) -> impl Iterator<Item = String> {
        self.all(document).filter_map(text)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        match inside.map(|inside| inside.split_once('=')) {
            None if !text.is_empty() && !text.contains(['[', ']']) => Ok(Self::Named(text.to_owned())),
            Some(Some((member, value))) if !member.is_empty() => {
                Ok(Self::With(member.to_owned(), value.to_owned()))
            }
            _ => Err("must be a path such as data.shop.id or tenants.[kind=SHOP].id".to_owned()),
        }
    }

    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match (self, value) {
            (Self::Named(index), Value::Array(items)) => items.get(index.parse::<usize>().ok()?),
            (Self::Named(name), other) => other.get(name),
            (Self::With(member, text), Value::Array(items)) => {
                items.iter().find(|item| item.get(member).and_then(Value::as_str) == Some(text))
            }
            (Self::With(..), _) => None,
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |part: &Part| match part {
            Part::Named(name) => name.clone(),
            Part::With(member, value) => format!("[{member}={value}]"),
        };
        let route = |route: &Vec<Part>| route.iter().map(part).collect::<Vec<_>>().join(".");
        f.write_str(&self.0.iter().map(route).collect::<Vec<_>>().join(", else "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(texts: &[&str]) -> Path {
        Path::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).expect("a path")
    }

    #[test]
    fn the_first_path_that_leads_somewhere_counts() {
        let both = json!({"access_token": "bot", "authed_user": {"access_token": "user"}});
        let user = json!({"access_token": null, "authed_user": {"access_token": "user"}});
        let tokens = path(&["access_token", "authed_user.access_token"]);
        assert_eq!(tokens.text(&both).as_deref(), Some("bot"));
        assert_eq!(tokens.text(&user).as_deref(), Some("user"));
        assert_eq!(tokens.text(&json!({"ok": false})), None);
    }

    #[test]
    fn an_element_is_found_by_index_or_by_a_member() {
        let tenants = json!([{"kind": "PRACTICE", "id": 1}, {"kind": "ORGANISATION", "id": 2}]);
        assert_eq!(path(&["0.id"]).text(&tenants).as_deref(), Some("1"));
        assert_eq!(path(&["[kind=ORGANISATION].id"]).text(&tenants).as_deref(), Some("2"));
        assert_eq!(path(&["[kind=OTHER].id"]).of(&tenants), None);
        assert_eq!(path(&["[kind=ORGANISATION].id"]).of(&json!({"kind": "ORGANISATION"})), None);
    }

    #[test]
    fn a_list_on_the_way_stands_for_each_of_its_elements() {
        let events = json!({"events": [{"tenant": "a"}, {"tenant": 2}, {}], "ids": ["x", "y"]});
        assert_eq!(path(&["events.tenant", "ids"]).every(&events), ["a", "2", "x", "y"]);
        assert_eq!(path(&["portal"]).every(&json!([{"portal": 1}, {"portal": 2}])), ["1", "2"]);
        assert!(path(&["events.0.none"]).every(&events).is_empty());
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in ["", "a..b", ".", "[kind]", "[=x]", "a[0]", "[kind=x"] {
            assert!(Path::parse(&[text.to_owned()]).is_err(), "{text}");
        }
        assert!(Path::parse(&[]).is_err());
    }
}
