//! `man`: the manual as pages for `man`, one for each command, written from the same text as `--help`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::client::quoted;
use super::failure::Failure;
use super::output::Output;

/// Printed at the end of the command's help.
pub(super) const EXAMPLES: &str = "Examples:
  credvault man ~/.local/share/man/man1
  credvault man /usr/local/share/man/man1";

#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The folder to write the pages to, which is made if it is missing. Pages in it are overwritten.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(arguments: &ManArgs, program: clap::Command, output: &mut Output) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(program, folder));
    written.with_context(|| format!("the pages cannot be written to {}", folder.display()))?;
    let (page, folder) = (folder.join("credvault.1"), folder.display());
    output.line(&format!(
        "the pages are in {folder}; read one with `man -l {}`, or by its name where MANPATH has the folder",
        quoted(&page.display().to_string())
    ))
}
