//! The reasons why policies cannot be used. None of them repeats the text of a policy file.

/// The name and text of a policy file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyFile {
    /// The name of the file, for messages.
    pub name: String,
    /// The policies in Cedar's syntax.
    pub text: String,
}

/// The reason why policies cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A file is not valid Cedar.
    #[error("policy file {file}: {problem}")]
    Syntax {
        /// The name of the file.
        file: String,
        /// The problem and its line.
        problem: String,
    },
    /// A policy names something that the schema does not have.
    #[error("the policies do not fit the schema:\n{0}")]
    Invalid(String),
    /// Two policies have the same id.
    #[error("policy file {file}: {id}another policy has the same @id")]
    DuplicateId {
        /// The name of the second policy's file.
        file: String,
        /// The id and a colon, or empty if the text may be more than an id.
        id: String,
    },
    /// A question of the vault does not fit the schema: a fault of this program, not of a file.
    #[error("this program's own question about {action} does not fit the schema: {problem}")]
    Question {
        /// The action that the question is about.
        action: &'static str,
        /// The part that does not fit.
        problem: String,
    },
    /// A file has a template, which the vault would never fill.
    #[error("policy file {0} has a template (?principal or ?resource); write the policy out")]
    Template(String),
}
