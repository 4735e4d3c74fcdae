//! The tests of the log: its tree against known answers and a naive tree, its records, its signatures, and every way to
//! tamper with an export.

mod support;

mod records;
mod tree;

mod bundles;

mod checkpoints;

mod exports;
mod tampering;

mod independent;
