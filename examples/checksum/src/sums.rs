//! Writing the sums, in the format of `sha256sum`.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;
use walkdir::DirEntry;

use crate::pipeline::Sum;

/// Where the sums go: to standard output, or to a file that appears when it is complete.
pub(crate) struct Sums {
    out: BufWriter<Box<dyn Write>>,
    file: Option<(TempPath, PathBuf)>,
    own: OwnFiles,
}

impl Sums {
    pub(crate) fn to_stdout() -> Self {
        Self { out: BufWriter::new(Box::new(io::stdout())), file: None, own: OwnFiles::stdout() }
    }

    pub(crate) fn to_file(path: &Path) -> io::Result<Self> {
        // A link is kept and what it points to replaced; `/dev/null` must not be.
        let target = fs::canonicalize(path).unwrap_or(path.to_owned());
        if target.exists() && !target.is_file() {
            return Err(io::Error::other("it exists and is not a regular file"));
        }
        // In the same folder, because only within a file system can a file be renamed.
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty());
        let (file, temp) = new_file(folder.unwrap_or(Path::new(".")))?.into_parts();
        let own = OwnFiles::of([Some(&file), File::open(&target).ok().as_ref()]);
        Ok(Self { out: BufWriter::new(Box::new(file)), file: Some((temp, target)), own })
    }

    /// The files that must not be hashed, because they are being written.
    pub(crate) fn own_files(&self) -> OwnFiles {
        self.own.clone()
    }

    pub(crate) fn on_terminal(&self) -> bool {
        self.file.is_none() && io::stdout().is_terminal()
    }

    pub(crate) fn write(&mut self, sum: &Sum, path: &Path) -> io::Result<()> {
        self.out.write_all(&line(sum, &name_bytes(path)))
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Without this call a file does not appear, and one that was there before stays.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self.file {
            Some((temp, target)) => Ok(temp.persist(target)?),
            None => Ok(()),
        }
    }
}

/// One line, as `sha256sum` writes it: with a backslash in front if something in the name is
/// replaced because it would break the line.
fn line(sum: &Sum, name: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(2 * sum.len() + name.len() + 4);
    if name.iter().any(|byte| b"\\\n\r".contains(byte)) {
        line.push(b'\\');
    }
    for byte in sum {
        line.extend(format!("{byte:02x}").bytes());
    }
    line.extend(b"  ");
    for byte in name {
        match byte {
            b'\\' => line.extend(br"\\"),
            b'\n' => line.extend(br"\n"),
            b'\r' => line.extend(br"\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

/// A name as it is, which need not be UTF-8.
#[cfg(unix)]
fn name_bytes(path: &Path) -> std::borrow::Cow<'_, [u8]> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().into()
}

#[cfg(not(unix))]
fn name_bytes(path: &Path) -> std::borrow::Cow<'_, [u8]> {
    path.to_string_lossy().into_owned().into_bytes().into()
}

/// A new file with the usual permissions; by default only its owner could read it.
#[cfg(unix)]
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().permissions(permissions).tempfile_in(folder)
}

#[cfg(not(unix))]
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::NamedTempFile::new_in(folder)
}

/// The files that are ours to write, by device and number, under whatever name they are met.
/// Where there are no such numbers nothing is recognised, and FILE is best kept elsewhere.
#[derive(Clone)]
pub(crate) struct OwnFiles {
    #[cfg(unix)]
    ids: Vec<(u64, u64)>,
}

#[cfg(unix)]
impl OwnFiles {
    fn of<'a>(files: impl IntoIterator<Item = Option<&'a File>>) -> Self {
        use std::os::unix::fs::MetadataExt;
        let metadata = files.into_iter().flatten().filter_map(|file| file.metadata().ok());
        Self { ids: metadata.map(|m| (m.dev(), m.ino())).collect() }
    }

    fn stdout() -> Self {
        use std::os::fd::AsFd;
        let stdout = io::stdout().as_fd().try_clone_to_owned().ok().map(File::from);
        Self::of([stdout.as_ref()])
    }

    pub(crate) fn contains(&self, entry: &DirEntry) -> bool {
        use std::os::unix::fs::MetadataExt;
        use walkdir::DirEntryExt;
        // The number is at hand; only if it fits is the file looked at.
        self.ids.iter().any(|(dev, ino)| {
            *ino == entry.ino() && entry.metadata().is_ok_and(|m| m.dev() == *dev)
        })
    }
}

#[cfg(not(unix))]
impl OwnFiles {
    fn of<'a>(_: impl IntoIterator<Item = Option<&'a File>>) -> Self {
        Self {}
    }

    fn stdout() -> Self {
        Self {}
    }

    pub(crate) fn contains(&self, _: &DirEntry) -> bool {
        false
    }
}
