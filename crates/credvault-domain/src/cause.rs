//! What an error says with its causes, for logs.

/// An error with its causes, each said once. An error of ours shows no value: sea-orm's and sqlx's are the database's
/// primary messages, which name a constraint or a condition.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
