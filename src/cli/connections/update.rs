//! `connections update`: what a person changes of a connection: its name, settings and labels, whether it is served, and how
//! often its credential is replaced.

use anyhow::Context as _;
use clap::Args;

use super::states::ChangeArgs;
use crate::cli::affected::print_affected;
use crate::cli::args::{pair, rotation_period};
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::lookup::{print_one, request_id, settings};
use crate::cli::output::{Format, Output};
use crate::grpc::struct_of;
use credvault_proto::v1;

#[derive(Args, Debug)]
#[group(required = true, multiple = true, args = ["account_name", "config", "remove_config", "labels", "remove_labels",
    "enable", "disable", "rotation_days", "left_key_removed"])]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Another name for the account.
    #[arg(long, value_name = "NAME")]
    account_name: Option<String>,
    /// A setting that is not secret. Repeatable; the others stay as they are.
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// The name of a setting to remove. Repeatable.
    #[arg(long, value_name = "KEY")]
    remove_config: Vec<String>,
    /// A label. Repeatable; the others stay as they are.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// The name of a label to remove. Repeatable.
    #[arg(long = "remove-label", value_name = "KEY")]
    remove_labels: Vec<String>,
    /// Serve fetches of it again.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Serve no fetches, and print the services that this breaks.
    #[arg(long)]
    disable: bool,
    /// How often the credential is to be replaced; 0: never.
    #[arg(long, value_name = "DAYS")]
    rotation_days: Option<u32>,
    /// A key that was left at the provider is not there any more: do not show it.
    #[arg(long)]
    left_key_removed: bool,
}

pub(super) async fn run(arguments: UpdateArgs, output: &mut Output) -> Result<(), Failure> {
    let one = &arguments.change.one;
    let (client, id) = one.connect().await?;
    let stored = match arguments.changes_config() || arguments.changes_labels() {
        true => stored(&client, id).await?,
        false => v1::Connection { id, ..Default::default() },
    };
    let (connection, paths) = arguments.changed(stored);
    let request = v1::UpdateConnectionRequest {
        connection: Some(connection),
        update_mask: Some(prost_types::FieldMask { paths }),
        request_id: request_id()?,
    };
    let updated = client.connections().update_connection(request).await?.into_inner();
    if one.format() == Format::Json {
        return output.json("UpdateConnectionResponse", &updated);
    }
    print_one(updated.connection, Format::Table, output)?;
    print_affected(&updated.affected_services, updated.hidden_affected_services, output)
}

/// The connection as it is: an update replaces all of its settings, or all of its labels.
async fn stored(client: &Client, connection_id: String) -> Result<v1::Connection, Failure> {
    let request = v1::GetConnectionRequest { connection_id };
    let found = client.connections().get_connection(request).await?.into_inner().connection;
    Ok(found.context("the vault answered without a connection")?)
}

impl UpdateArgs {
    fn changes_config(&self) -> bool {
        !self.config.is_empty() || !self.remove_config.is_empty()
    }

    fn changes_labels(&self) -> bool {
        !self.labels.is_empty() || !self.remove_labels.is_empty()
    }

    /// The connection with its new values, and the names of the fields that have some. Where `stored` was read, the
    /// connection must still have its etag, or a change that came between would be lost.
    fn changed(&self, stored: v1::Connection) -> (v1::Connection, Vec<String>) {
        let v1::Connection { id, etag, config, mut labels, .. } = stored;
        let mut config = config.unwrap_or_default();
        config.fields.extend(struct_of(&settings(&self.config)).fields);
        config.fields.retain(|key, _| !self.remove_config.contains(key));
        labels.extend(self.labels.iter().cloned());
        labels.retain(|key, _| !self.remove_labels.contains(key));
        let named = &self.change.etag;
        let changed = v1::Connection {
            id,
            etag: if named.is_empty() { etag } else { named.clone() },
            account_name: self.account_name.clone().unwrap_or_default(),
            config: Some(config),
            labels,
            enabled: self.enable,
            rotation_period: self.rotation_days.and_then(rotation_period),
            ..Default::default()
        };
        let fields = [
            ("account_name", self.account_name.is_some()),
            ("config", self.changes_config()),
            ("labels", self.changes_labels()),
            ("enabled", self.enable || self.disable),
            ("rotation_period", self.rotation_days.is_some()),
            ("rotation.left_key_time", self.left_key_removed),
        ];
        let changes = fields.into_iter().filter(|(_, changes)| *changes);
        (changed, changes.map(|(field, _)| field.to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        update: UpdateArgs,
    }

    fn parsed(options: &[&str]) -> Result<UpdateArgs, clap::Error> {
        let line = [&["credvault", "shopify/main"][..], options].concat();
        Line::try_parse_from(line).map(|line| line.update)
    }

    fn stored() -> v1::Connection {
        let config = serde_json::json!({ "shop": "a.example", "region": "eu", "limit": 5 });
        let labels =
            [("team", "sales"), ("tier", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        v1::Connection {
            id: "7".to_owned(),
            etag: "\"3\"".to_owned(),
            account_name: "main".to_owned(),
            config: config.as_object().map(struct_of),
            labels: labels.into(),
            ..Default::default()
        }
    }

    #[test]
    fn settings_and_labels_that_are_not_named_stay() {
        let options = ["--config", "region=us", "--remove-config", "limit", "--label", "team=ops"];
        let update = parsed(&[&options[..], &["--remove-label", "tier"]].concat()).expect("parsed");
        let (changed, fields) = update.changed(stored());
        assert_eq!(fields, ["config", "labels"]);
        assert_eq!((changed.id.as_str(), changed.etag.as_str()), ("7", "\"3\""));
        let config = serde_json::json!({ "shop": "a.example", "region": "us" });
        assert_eq!(changed.config, config.as_object().map(struct_of));
        assert_eq!(changed.labels, BTreeMap::from([("team".to_owned(), "ops".to_owned())]));
    }

    #[test]
    fn only_what_is_named_changes_and_the_etag_of_the_command_line_counts() {
        let update = parsed(&["--account-name", "second", "--rotation-days", "0", "--etag", "\"2\""]);
        let (changed, fields) = update.expect("parsed").changed(stored());
        assert_eq!(fields, ["account_name", "rotation_period"]);
        assert_eq!((changed.account_name.as_str(), changed.rotation_period), ("second", None));
        assert_eq!(changed.etag, "\"2\"");
        let (changed, fields) = parsed(&["--disable"]).expect("parsed").changed(v1::Connection::default());
        assert_eq!((fields, changed.enabled), (vec!["enabled".to_owned()], false));
        assert!(changed.etag.is_empty());
    }

    #[test]
    fn an_update_without_a_change_and_one_that_contradicts_itself_are_refused() {
        for wrong in [&["--etag", "\"2\""][..], &["--enable", "--disable"], &["--label", "CANARY"], &[]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
