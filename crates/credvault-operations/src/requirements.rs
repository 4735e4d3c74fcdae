//! What tools require of connections: registered by administrators, checked for a tenant and a user.

mod check;
mod known;
mod tools;
mod verdict;

pub use check::{CheckRequirements, Checked, check};
pub use tools::{PutTool, delete_tool, list_tools, put_tool};
pub use verdict::{Check, CheckState, Problem, Step};
