//! Files with secrets: only their owner and group may read them.

use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Reads a file unless others than its owner and group may read it, or others than its owner may write it. A group may
/// read, because that is how Kubernetes hands a secret to a process that is not root (`fsGroup`).
pub(crate) fn read_private(path: &Path) -> Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    // The mode is the open file's, not the path's: what is checked is what is read.
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o037 != 0 {
        let rule = format!(
            "it has mode {mode:03o}: only its owner may write it and only its owner and group may read it; run `chmod \
             600 {}`",
            path.display()
        );
        return Err(Error::new(ErrorKind::PermissionDenied, rule));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}
