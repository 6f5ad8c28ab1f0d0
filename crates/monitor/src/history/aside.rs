//! Putting a damaged file out of the way.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::schema::APPLICATION;
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

/// Whether a file says in its head that a monitor has made it, however damaged the rest is.
pub(crate) fn is_ours(path: &Path) -> bool {
    let mut head = [0; 100];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok()
        && head.starts_with(b"SQLite format 3\0")
        && head[68..72] == (APPLICATION as u32).to_be_bytes()
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}
