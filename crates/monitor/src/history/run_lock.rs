//! One living monitor a run id: a lock file beside the database. The system lets go of the lock
//! when the process ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Held while the run lives.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    file: Option<File>,
}

/// Another monitor is writing under this run id.
#[derive(Debug)]
pub(crate) struct InUse;

impl RunLock {
    /// Takes the lock. Where no file can be made or locked, there is none to be had: then the
    /// database cannot be written either, which is told elsewhere.
    pub(crate) fn take(database: &Path, run_id: &str) -> Result<Self, InUse> {
        sweep(database);
        let path = path(database, &format!("{:016x}", hash(run_id)));
        let mut busy = 0;
        loop {
            let options = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let Ok(file) = options else { break };
            match file.try_lock() {
                // Maybe only by a sweep, for a moment.
                Err(TryLockError::WouldBlock) if busy < 20 => {
                    busy += 1;
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => return Err(InUse),
                Err(TryLockError::Error(_)) => break,
                // Its last holder may have removed the file between the opening and the locking.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, file: Some(file) }),
                Ok(()) => {}
            }
        }
        Ok(Self { path, file: None })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Removed while still locked: see `is_at`.
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what killed processes left.
fn sweep(database: &Path) {
    let Some(folder) = database.parent() else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let prefix = path(database, "");
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(prefix) = prefix.strip_suffix(".lock") else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !(name.starts_with(prefix) && name.ends_with(".lock")) {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(entry.path()) else { continue };
        if file.try_lock().is_ok() && is_at(&file, &entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn path(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("-run-{suffix}.lock"));
    path.into()
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// FNV-1a: a run id may be any text, a file name may not.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_taken_until_it_is_dropped_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("stats.db");
        let first = RunLock::take(&database, "night").unwrap();
        assert!(RunLock::take(&database, "night").is_err());
        let other = RunLock::take(&database, "../day\0").unwrap();
        drop(first);
        drop(RunLock::take(&database, "night").unwrap());
        drop(other);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("stats.db");
        fs::write(path(&database, "left"), "").unwrap();
        let living = RunLock::take(&database, "night").unwrap();
        let _other = RunLock::take(&database, "day").unwrap();
        assert!(living.path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
