//! The names that a dry run would have taken. The vault checks each batch by itself and keeps nothing of it, so the command
//! compares the batches of the run: what would be created under a name of an earlier batch is refused, as the vault would.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use credvault_domain::Reason;
use tonic::Code;

use credvault_proto::v1;

/// How many names a dry run remembers: about ten bytes for each. Further rows are compared with these.
const MOST: usize = 5_000_000;

/// The names that rows of a dry run would have taken, as hashes. A row is taken for another one once in 10^7 runs of a
/// million rows.
#[derive(Default)]
pub(super) struct Names(HashSet<u64>);

impl Names {
    /// Takes the names of a batch that the vault would create, and refuses those that are taken. `names` are those of the
    /// results, in their order.
    pub(super) fn take(&mut self, names: &[u64], results: &mut [v1::ImportResult]) {
        for (name, result) in names.iter().zip(results) {
            if result.outcome() != v1::ImportOutcome::Created {
                continue;
            }
            if self.0.contains(name) {
                refuse(result);
            } else if self.0.len() < MOST {
                self.0.insert(*name);
            }
        }
    }
}

/// What is unique of a connection, as a hash: tenant, owner, provider and account name.
pub(super) fn name_of(tenant: &str, item: &v1::ImportItem) -> u64 {
    let owner = item.owner.as_ref().map(|owner| (owner.kind, owner.user_id.as_str()));
    let mut hasher = DefaultHasher::new();
    (tenant, owner, item.provider.as_str(), item.account_name.as_str()).hash(&mut hasher);
    hasher.finish()
}

fn refuse(result: &mut v1::ImportResult) {
    let rule = "another row of the source has this owner, provider and account name; name the column of the account's name in \
                the map: columns.account";
    result.set_outcome(v1::ImportOutcome::Refused);
    result.error = Some(v1::ImportError {
        code: Code::AlreadyExists.into(),
        reason: Reason::ConnectionExists.as_str().to_owned(),
        message: rule.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_by_what_would_be_created_in_one_tenant() {
        let item = |user: &str, account: &str| v1::ImportItem {
            owner: Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: user.to_owned() }),
            provider: "generic".to_owned(),
            account_name: account.to_owned(),
            ..Default::default()
        };
        let mut names = Names::default();
        let mut answered = |tenant: &str, item: &v1::ImportItem, outcome: v1::ImportOutcome| {
            let mut results = [v1::ImportResult { outcome: outcome.into(), ..Default::default() }];
            names.take(&[name_of(tenant, item)], &mut results);
            results[0].outcome()
        };
        let (created, refused) = (v1::ImportOutcome::Created, v1::ImportOutcome::Refused);
        assert_eq!(answered("acme", &item("u1", "a"), refused), refused);
        assert_eq!(answered("acme", &item("u1", "a"), created), created);
        assert_eq!(answered("acme", &item("u1", "a"), created), refused);
        for (tenant, item) in
            [("beta", item("u1", "a")), ("acme", item("u2", "a")), ("acme", item("u1", "b"))]
        {
            assert_eq!(answered(tenant, &item, created), created);
        }
    }
}
