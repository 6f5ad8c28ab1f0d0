//! The work: one walk finds the files, each of them is read and hashed block by block.
//!
//! A file takes a place among the readers before anything else is done for it, and keeps it until
//! it has been read *and* has a place among the hashers. So no more files are open, and no more
//! memory is in use, than the two ceilings allow, however many files there are.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use walkdir::{DirEntry, WalkDir};

use crate::control::Progress;
use crate::stage::{Place, Stage};
use crate::sums::OwnFiles;

/// A file has at most two of these in memory: one that is hashed, and the one read meanwhile.
const BLOCK: usize = 256 * 1024;

/// What became of a file: its sum and its length, or why it has none.
pub(crate) struct Outcome {
    pub(crate) path: PathBuf,
    pub(crate) result: io::Result<(Sum, u64)>,
}

pub(crate) type Sum = [u8; 32];

pub(crate) struct Pipeline {
    pub(crate) read: Arc<Stage>,
    pub(crate) hash: Arc<Stage>,
    pub(crate) outcomes: mpsc::Sender<Outcome>,
    pub(crate) bar: ProgressBar,
    pub(crate) progress: Arc<Progress>,
}

impl Pipeline {
    /// Walks through the folders, starting each file as soon as there is a place for it; blocks.
    pub(crate) fn walk(self: Arc<Self>, paths: &[PathBuf], except: &OwnFiles) {
        for file in files(paths, except) {
            match file {
                Ok(path) => match self.read.enter_blocking() {
                    Ok(reading) => {
                        tokio::spawn(self.clone().checksum(path, reading));
                    }
                    Err(_closed) => return,
                },
                // Fails if the receiver has gone; then the limiter is closed, too.
                Err(failed) => {
                    let _ = self.outcomes.blocking_send(failed);
                }
            }
        }
    }

    async fn checksum(self: Arc<Self>, path: PathBuf, reading: Place) {
        let opened = open(path.clone()).await;
        let Ok(hashing) = self.hash.enter().await else { return };
        let result = match opened {
            Ok((file, block)) => self.sum(file, block, reading).await,
            Err(error) => Err(error),
        };
        // The place is kept until the outcome is delivered. So, if our output is read slowly, the
        // work slows down, and outcomes do not pile up.
        let _ = self.outcomes.send(Outcome { path, result }).await;
        drop(hashing);
    }

    /// Hashes each block while the next one is read.
    async fn sum(
        &self,
        mut file: File,
        mut block: Vec<u8>,
        reading: Place,
    ) -> io::Result<(Sum, u64)> {
        let mut sha = Sha256::new();
        let mut length = 0;
        loop {
            let size = block.len();
            length += size as u64;
            self.bar.inc(size as u64);
            self.progress.add(size as u64);
            let hashed = spawn_blocking(move || {
                sha.update(&block);
                sha
            });
            // A short block is the last one. The place among the readers goes to another file.
            if size < BLOCK {
                drop(reading);
                return Ok((hashed.await?.finalize().into(), length));
            }
            let next = spawn_blocking(move || read_block(&mut file).map(|block| (block, file)));
            sha = hashed.await?;
            (block, file) = next.await??;
            // Permits stay valid when a limiter is closed; but this file may be a long one.
            if self.hash.limiter().is_closed() {
                return Err(io::Error::other("stopped halfway"));
            }
        }
    }
}

/// Adds up how much there is to do, ahead of the work.
pub(crate) fn count(paths: &[PathBuf], except: &OwnFiles, mut found: impl FnMut(u64)) {
    for path in files(paths, except).flatten() {
        found(fs::metadata(path).map_or(0, |metadata| metadata.len()));
    }
}

async fn open(path: PathBuf) -> io::Result<(File, Vec<u8>)> {
    spawn_blocking(|| {
        let mut file = File::open(path)?;
        let block = read_block(&mut file)?;
        Ok((file, block))
    })
    .await?
}

/// Reads until the block is full or the file ends.
fn read_block(file: &mut File) -> io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(BLOCK);
    file.take(BLOCK as u64).read_to_end(&mut block)?;
    Ok(block)
}

/// All regular files below the paths, but for those that we write ourselves.
///
/// Symbolic links are not followed, unless they are among the paths. Pipes and devices are left
/// out, too: reading them might never end.
fn files(paths: &[PathBuf], except: &OwnFiles) -> impl Iterator<Item = Result<PathBuf, Outcome>> {
    paths.iter().flat_map(WalkDir::new).filter_map(|entry| match entry {
        Ok(entry) => match is_wanted(&entry, except) {
            Ok(wanted) => wanted.then(|| Ok(entry.into_path())),
            Err(error) => Some(Err(failed(entry.path(), error))),
        },
        Err(error) => {
            let path = error.path().unwrap_or(Path::new("")).to_owned();
            let error = error.into_io_error().unwrap_or_else(|| io::Error::other("a loop"));
            Some(Err(failed(&path, error)))
        }
    })
}

fn failed(path: &Path, error: io::Error) -> Outcome {
    Outcome { path: path.to_owned(), result: Err(error) }
}

fn is_wanted(entry: &DirEntry, except: &OwnFiles) -> io::Result<bool> {
    let kind = if entry.depth() == 0 {
        fs::metadata(entry.path())?.file_type()
    } else {
        entry.file_type()
    };
    if entry.depth() == 0 && !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other("neither a file nor a folder"));
    }
    Ok(kind.is_file() && !except.contains(entry))
}
