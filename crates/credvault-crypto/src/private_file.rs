//! Files with keys and secrets: only their owner and group may read them.

use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// The largest file with a key or a secret. A wrong path, such as that of a device, must not fill the memory.
const MAX_PRIVATE_BYTES: usize = 64 * 1024;

/// Reads a file of at most 64 KiB, unless others than its owner and group may read it, or others than its owner may write
/// it. A group may read, because that is how Kubernetes hands a secret to a process that is not root (`fsGroup`).
///
/// # Errors
/// The file cannot be read, is too large, or has a mode that is too wide; the message then names the way out.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    // The mode of the open file, not of the path: the file cannot be exchanged between check and read.
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o037 != 0 {
        let rule = format!(
            "it has mode {mode:03o}: only its owner may write it and only its owner and group may read it; run `chmod \
             600 {}`",
            path.display()
        );
        return Err(Error::new(ErrorKind::PermissionDenied, rule));
    }
    // With room for everything from the start: a buffer that grows would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_PRIVATE_BYTES + 1));
    file.take(MAX_PRIVATE_BYTES as u64 + 1).read_to_end(&mut content)?;
    if content.len() > MAX_PRIVATE_BYTES {
        return Err(Error::new(
            ErrorKind::FileTooLarge,
            "it is larger than 64 KiB, so it is no key or secret",
        ));
    }
    Ok(content)
}
