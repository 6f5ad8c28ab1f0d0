//! Putting a damaged file out of the way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::moment::unix_ms;

/// Renames a database, and the log that belongs to it, to a name beside it that is free.
pub(crate) fn rename(path: &Path) -> io::Result<PathBuf> {
    if !path.is_file() {
        // A folder, a device: not ours to move.
        return Err(io::Error::other("it is no file"));
    }
    let seconds = unix_ms() / 1_000;
    let names = (0..100).map(|i| match i {
        0 => with(path, &format!(".damaged-{seconds}")),
        i => with(path, &format!(".damaged-{seconds}-{i}")),
    });
    let to = names.into_iter().find(|to| !to.exists());
    let to = to.ok_or_else(|| io::Error::other("no name is free"))?;
    fs::rename(path, &to)?;
    for ending in ["-wal", "-shm"] {
        // Most of the time there is none.
        let _ = fs::rename(with(path, ending), with(&to, ending));
    }
    Ok(to)
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}
