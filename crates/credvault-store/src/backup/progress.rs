//! How far a backup, a restore or a verification is.

/// How far the work is, for the person who waits for it.
#[derive(Clone, Copy, Debug)]
pub struct BackupProgress<'a> {
    /// The table that the work is at.
    pub table: &'a str,
    /// How many rows are done, of all tables.
    pub rows: u64,
    /// How many bytes were written to the backup, or read from it.
    pub bytes: u64,
}

/// What is called from time to time during the work, some thousand times for a million rows.
pub type OnBackupProgress<'a> = &'a mut (dyn FnMut(BackupProgress<'_>) + Send);

/// After how many rows it is called again.
pub(super) const ROWS_BETWEEN: u64 = 512;
