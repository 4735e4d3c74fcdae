//! Runs a PostgreSQL for tests in several processes: prints its superuser's URL, and stops it when its input ends.

#![allow(clippy::print_stdout, reason = "the URL is its output")]

use std::io::Read as _;

use credvault_testkit::Postgres;

fn main() -> std::io::Result<()> {
    println!("{}", Postgres::shared().superuser_url());
    std::io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}
