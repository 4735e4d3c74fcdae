//! Why a proof about the audit log, or a part of it, is not given.

use credvault_domain::Violations;

/// Why a record, or a size of the audit log, is not proved, or a part of it is not read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unproved {
    /// There is no such record in the caller's reach.
    #[error(
        "the log has no such record in the caller's reach, or its content is not kept any more; ListAuditEvents shows those that \
         there are"
    )]
    NotFound,
    /// The record is durable and waits for its place in the log.
    #[error("the record is durable and waits for its place in the log; try again after the retry delay")]
    Waiting,
    /// The sizes of trees that were asked for do not fit the log.
    #[error("the sizes do not fit the log: {0}")]
    Sizes(Violations),
    /// The log cannot be read from that index on.
    #[error(
        "the log has no records from that index on: those from {first} to before {end} can be read, older ones are not \
         kept, and the next one gets the index {end}; begin at {first}, or leave the index out"
    )]
    Position {
        /// The index of the first record that is kept.
        first: u64,
        /// The index that the next record gets.
        end: u64,
    },
}
