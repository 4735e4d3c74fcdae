//! The program. See `credvault --help`.

fn main() {}
