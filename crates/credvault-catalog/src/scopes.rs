//! Which scopes a consent, or a request for tokens, asks the provider for.

/// The scopes that a mode asks for.
#[derive(Debug)]
pub struct Scopes {
    /// The text between two scopes.
    pub separator: String,
    /// The scopes for callers that choose none.
    pub default: Vec<String>,
    /// The scopes that are added to every request.
    pub always: Vec<String>,
}

impl Scopes {
    /// The scopes to ask for: `chosen`, or the default ones if it is empty, and those that are always added.
    pub fn asked(&self, chosen: &[String]) -> Vec<String> {
        let mut asked = if chosen.is_empty() { self.default.clone() } else { chosen.to_vec() };
        for scope in &self.always {
            if !asked.contains(scope) {
                asked.push(scope.clone());
            }
        }
        asked
    }
}
