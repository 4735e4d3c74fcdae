//! Which connection a name on the command line means: its id, its provider and account, or its provider alone.

use tonic::Status;

use super::failure::Failure;
use credvault_proto::v1;

/// How a connection is named on the command line.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Name<'a> {
    /// By its id alone.
    Id(&'a str),
    /// By its provider, and by the account where one is named.
    Account { provider: &'a str, account: Option<&'a str> },
}

impl<'a> Name<'a> {
    /// `ID`, `PROVIDER` or `PROVIDER/ACCOUNT`. No provider's id has a hyphen, and every connection's has.
    pub(super) fn read(text: &'a str) -> Self {
        match text.split_once('/') {
            Some((provider, account)) => Self::Account { provider, account: Some(account) },
            None if text.contains('-') || text.is_empty() => Self::Id(text),
            None => Self::Account { provider: text, account: None },
        }
    }
}

/// The id of the connection that is meant among those at one provider: the nearest owner's, and of several accounts the one
/// that is named, or else the default one. With `shared`, only those of the tenant count.
pub(super) fn chosen(
    all: Vec<v1::Connection>,
    account: Option<&str>,
    user: Option<&String>,
    shared: bool,
) -> Result<String, Failure> {
    let taken = |one: &v1::Connection| match owner_kind(one) {
        v1::OwnerKind::User => !shared && is_of(one, user),
        v1::OwnerKind::Tenant => true,
        v1::OwnerKind::Platform | v1::OwnerKind::Unspecified => !shared,
    };
    let named = all.into_iter().filter(|one| taken(one) && has_account(one, account));
    // A call without a user means what is shared before it means what a user owns.
    let distance = |one: &v1::Connection| match owner_kind(one) {
        v1::OwnerKind::User => u8::from(user.is_none()),
        v1::OwnerKind::Tenant => u8::from(user.is_some()),
        v1::OwnerKind::Platform | v1::OwnerKind::Unspecified => 2,
    };
    let mut nearest: Vec<v1::Connection> = named.collect();
    let least = nearest.iter().map(distance).min();
    nearest.retain(|one| Some(distance(one)) == least);
    if account.is_none() && nearest.iter().any(|one| one.default) {
        nearest.retain(|one| one.default);
    }
    match nearest.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Status::not_found(
            "the provider has no such account here; `credvault connections list` shows those that are",
        )
        .into()),
        several => {
            let names: Vec<&str> = several.iter().map(|one| one.account_name.as_str()).collect();
            Err(Failure::Usage(format!(
                "several connections have this name, with the accounts {}; name one as PROVIDER/ACCOUNT, with its user \
                 after --user, or by its id",
                names.join(", ")
            )))
        }
    }
}

/// The id of the deleted connection that is meant among those at one provider, live and deleted ones.
pub(super) fn deleted(all: Vec<v1::Connection>, account: Option<&str>) -> Result<String, Failure> {
    let same = all.into_iter().filter(|one| one.delete_time.is_some() && has_account(one, account));
    // One name may have been deleted several times; only the ids tell those connections apart.
    match same.collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Status::not_found(
            "no deleted connection has this name; `credvault connections list --show-deleted` shows all",
        )
        .into()),
        [_, _, ..] => Err(Failure::Usage(
            "several deleted connections have this name; name one by its id, as `credvault connections list --show-deleted \
             --output json` shows it"
                .to_owned(),
        )),
    }
}

fn owner_kind(connection: &v1::Connection) -> v1::OwnerKind {
    connection.owner.as_ref().map_or(v1::OwnerKind::Unspecified, v1::Owner::kind)
}

fn has_account(connection: &v1::Connection, account: Option<&str>) -> bool {
    account.is_none_or(|account| connection.account_name == account)
}

/// Whether the user of the call owns a connection. A call without a user may see those of all users.
fn is_of(connection: &v1::Connection, user: Option<&String>) -> bool {
    user.is_none_or(|user| connection.owner.as_ref().is_some_and(|owner| owner.user_id == *user))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: &str, account: &str, user: &str) -> v1::Connection {
        let kind = if user.is_empty() { v1::OwnerKind::Tenant } else { v1::OwnerKind::User };
        let owner = Some(v1::Owner { kind: kind.into(), user_id: user.to_owned() });
        v1::Connection { id: id.to_owned(), account_name: account.to_owned(), owner, ..Default::default() }
    }

    #[test]
    fn an_id_is_told_from_a_name() {
        let id = "019328d4-0000-7000-8000-000000000000";
        assert_eq!(Name::read(id), Name::Id(id));
        assert_eq!(Name::read(""), Name::Id(""));
        assert_eq!(Name::read("shopify"), Name::Account { provider: "shopify", account: None });
        let account = Some("eu/main-2");
        assert_eq!(Name::read("amazon_sp/eu/main-2"), Name::Account { provider: "amazon_sp", account });
    }

    #[test]
    fn the_nearest_owner_and_the_default_account_are_meant() {
        let all = || {
            let default = v1::Connection { default: true, ..connection("4", "b", "") };
            let users = [connection("1", "a", "u1"), connection("2", "a", "u2"), connection("5", "x", "u1")];
            let shared = [connection("3", "a", ""), default, connection("6", "x", "u2")];
            users.into_iter().chain(shared).collect()
        };
        let (u1, u3) = ("u1".to_owned(), "u3".to_owned());
        let id = |account, user, shared| chosen(all(), account, user, shared).ok();
        assert_eq!(id(Some("a"), Some(&u1), false).as_deref(), Some("1"));
        assert_eq!(id(Some("a"), Some(&u3), false).as_deref(), Some("3"));
        assert_eq!(id(Some("a"), Some(&u1), true).as_deref(), Some("3"));
        assert_eq!(id(None, Some(&u3), false).as_deref(), Some("4"));
        assert_eq!(id(Some("a"), None, false).as_deref(), Some("3"));
        // Two users have the account; neither is meant more than the other.
        assert!(matches!(chosen(all(), Some("x"), None, false), Err(Failure::Usage(_))));
        let none = chosen(all(), Some("c"), None, false);
        assert!(matches!(none, Err(Failure::Status(status)) if status.code() == tonic::Code::NotFound));
    }

    #[test]
    fn a_deleted_connection_is_named_unless_several_had_its_name() {
        let gone = |id: &str, account: &str| v1::Connection {
            delete_time: Some(prost_types::Timestamp::default()),
            ..connection(id, account, "")
        };
        let all = || vec![connection("1", "a", ""), gone("2", "a"), gone("3", "b"), gone("4", "b")];
        assert_eq!(deleted(all(), Some("a")).ok().as_deref(), Some("2"));
        assert!(matches!(deleted(all(), Some("b")), Err(Failure::Usage(_))));
        assert!(matches!(deleted(all(), Some("c")), Err(Failure::Status(_))));
    }
}
