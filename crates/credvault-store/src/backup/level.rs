//! Which migrations a backup and the database that it goes into have: they must be the same.

use super::error::BackupError;

/// Refuses a database that was prepared with other migrations than the backup has.
pub(super) fn check_migrations(applied: &[String], of_backup: &[String]) -> Result<(), BackupError> {
    let differs = |(applied, of_backup): &(&String, &String)| applied != of_backup;
    let other = applied.iter().zip(of_backup).find(differs).map(|(applied, _)| applied);
    let shorter = applied.len().min(of_backup.len());
    let more = applied.get(shorter).or_else(|| of_backup.get(shorter));
    match other.or(more) {
        Some(name) => Err(BackupError::OtherMigrations(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_must_be_the_same() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of_backup = names(&["m1", "m2"]);
        assert!(check_migrations(&of_backup, &of_backup).is_ok());
        let cases: [(&[&str], &str); 3] =
            [(&["m1", "m2", "m3"], "m3"), (&["m1"], "m2"), (&["m1", "m4"], "m4")];
        for (applied, name) in cases {
            let refused = check_migrations(&names(applied), &of_backup);
            assert!(matches!(refused, Err(BackupError::OtherMigrations(found)) if found == name), "{name}");
        }
    }
}
