//! Secrets that a command reads: from files, from standard input, or typed at the terminal. None comes from the command
//! line, which every user of the machine can see.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::pair;
use super::client::{Client, unreadable};
use super::failure::Failure;
use super::prompt;
use super::schema::secret_fields;
use credvault_proto::v1;

/// Where the secret fields of a credential come from.
#[derive(Args, Debug)]
pub(super) struct SecretArgs {
    /// A file with the secret fields as a JSON object of texts; `-` reads it from standard input.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// A secret field whose value is a whole file, such as a service account's key; `-` is standard input. Repeatable.
    #[arg(long, value_name = "FIELD=FILE", value_parser = pair)]
    secret_file: Vec<(String, String)>,
    /// Ask for each secret field at the terminal, which does not show what is typed.
    #[arg(long, conflicts_with_all = ["secrets", "secret_file"])]
    prompt: bool,
}

impl SecretArgs {
    /// Whether the command line names a source of secret fields.
    pub(super) fn is_given(&self) -> bool {
        self.secrets.is_some() || !self.secret_file.is_empty() || self.prompt
    }

    /// Whether the person at the terminal is asked.
    pub(super) fn prompts(&self) -> bool {
        self.prompt
    }

    /// The secret fields that files have. None if the person at the terminal is to be asked.
    pub(super) fn in_files(&self) -> Result<BTreeMap<String, String>, Failure> {
        let files = self.secret_file.iter().map(|(_, path)| path.as_str());
        let from_stdin = files.filter(|path| *path == "-").count();
        if from_stdin + usize::from(self.secrets.as_deref() == Some(Path::new("-"))) > 1 {
            let way_out = "give `-` once, and name a file for the others";
            return Err(Failure::Usage(format!("standard input can be read only once: {way_out}")));
        }
        let mut fields = BTreeMap::new();
        if let Some(path) = &self.secrets {
            // serde's message could quote the text.
            fields = serde_json::from_str(&text_of(path)?).map_err(|_| {
                Failure::Usage(format!("{} must be a JSON object whose values are texts", path.display()))
            })?;
        }
        for (field, path) in &self.secret_file {
            fields.insert(field.clone(), text_of(Path::new(path))?);
        }
        Ok(fields)
    }

    /// The same fields, or those of the auth mode with what the person at the terminal has typed for them.
    pub(super) async fn or_typed(
        &self,
        in_files: BTreeMap<String, String>,
        client: &Client,
        provider: &str,
        auth_mode: &str,
    ) -> Result<BTreeMap<String, String>, Failure> {
        if !self.prompt {
            return Ok(in_files);
        }
        let request = v1::GetProviderRequest { provider: provider.to_owned() };
        let provider = client.connections().get_provider(request).await?.into_inner().provider;
        let provider = provider.unwrap_or_default();
        let fields = secret_fields(&provider, auth_mode).ok_or_else(|| {
            let modes: Vec<&str> = provider.auth_modes.iter().map(|mode| mode.name.as_str()).collect();
            Failure::Usage(format!("name the auth mode with --auth-mode: one of {}", modes.join(", ")))
        })?;
        prompt::ask(&fields)
    }
}

/// The bytes of a file, or of standard input if its name is `-`.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().read_to_end(&mut bytes).map(|_| bytes),
        false => std::fs::read(path),
    };
    read.map_err(|error| unreadable(path, &error))
}

/// The text of a file, or of standard input if its name is `-`.
pub(super) fn text_of(path: &Path) -> Result<String, Failure> {
    // The error of the conversion would show the bytes.
    String::from_utf8(bytes_of(path)?)
        .map_err(|_| Failure::Usage(format!("{} cannot be read: it must be UTF-8", path.display())))
}

/// A secret that is one line of a file: without the end of the line, which an editor adds.
pub(super) fn line_of(path: &Path) -> Result<String, Failure> {
    Ok(text_of(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(secrets: Option<PathBuf>, secret_file: &[(&str, &Path)]) -> SecretArgs {
        let named = |(field, path): &(&str, &Path)| ((*field).to_owned(), path.display().to_string());
        SecretArgs { secrets, secret_file: secret_file.iter().map(named).collect(), prompt: false }
    }

    #[test]
    fn fields_come_from_an_object_and_from_whole_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let (object, key) = (folder.path().join("object.json"), folder.path().join("key.json"));
        std::fs::write(&object, r#"{"token": "CANARY 1"}"#).expect("written");
        std::fs::write(&key, "{\"CANARY\": 2}\n").expect("written");
        let read = arguments(Some(object.clone()), &[("key", &key)]).in_files().expect("fields");
        assert_eq!((read["token"].as_str(), read["key"].as_str()), ("CANARY 1", "{\"CANARY\": 2}\n"));
        assert_eq!(line_of(&key).expect("a line"), "{\"CANARY\": 2}");
        assert!(arguments(None, &[]).in_files().expect("nothing").is_empty());

        for text in ["CANARY", r#"["CANARY"]"#, r#"{"CANARY": 1}"#] {
            std::fs::write(&object, text).expect("written");
            let refused =
                arguments(Some(object.clone()), &[]).in_files().expect_err("not an object of texts");
            let refused = format!("{refused:?}");
            assert!(refused.contains("JSON object") && !refused.contains("CANARY"), "{refused}");
        }
        std::fs::write(&key, b"CANARY \xff").expect("written");
        let refused = format!("{:?}", arguments(None, &[("key", &key)]).in_files());
        assert!(refused.contains("UTF-8") && !refused.contains("CANARY"), "{refused}");
    }

    #[test]
    fn standard_input_is_read_once() {
        let stdin = Path::new("-");
        for (secrets, files) in
            [(Some(PathBuf::from("-")), &[("a", stdin)][..]), (None, &[("a", stdin), ("b", stdin)][..])]
        {
            let refused = arguments(secrets, files).in_files().expect_err("twice");
            assert!(matches!(refused, Failure::Usage(text) if text.contains("only once")));
        }
    }
}
