//! What only PostgreSQL has: roles, row-level security, round trips.

mod commits;
pub mod row_security;
mod startup;
