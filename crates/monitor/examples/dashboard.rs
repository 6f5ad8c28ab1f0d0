//! The main job, watched: every file below a folder is hashed, again and again, with limits on how
//! many files are on their way, how many blocks are read and how many are hashed at once. With it: a
//! history, a dashboard with buttons to move the limits, and a watcher of the CPU.
//!
//! ```text
//! cargo run --release -p grmgr-monitor --example dashboard -- [FOLDER [ADDRESS [DATABASE]]]
//! ```
//!
//! Then open the address it prints. Ctrl-C ends it. The database is made in the system's folder for
//! temporary files unless another place is given; where it is, is printed.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use grmgr::{Builder, Handle, Limiter, Registry};
use grmgr_monitor::{Monitor, Pressure};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use walkdir::WalkDir;

const BLOCK: u64 = 64 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or(default.into());
    let folder = argument(".");
    let address = argument("127.0.0.1:9187");
    let database = argument("");
    let database = match database.as_str() {
        "" => env::temp_dir().join("grmgr-dashboard-example.db"),
        given => PathBuf::from(given),
    };

    let limiter = |builder: Builder| {
        let limiter = builder.hold(Duration::from_secs(5)).build()?;
        Ok::<_, Box<dyn Error>>(Registry::global().register(limiter)?)
    };
    let files =
        limiter(Limiter::builder("files on their way").ceiling(24).min(4).max(64).up(8).down(8))?;
    let read = limiter(Limiter::builder("blocks read").ceiling(4).max(16).up(2).down(1))?;
    let hash = limiter(Limiter::builder("blocks hashed").ceiling(2).max(8).up(1).down(1))?;

    let monitor = Monitor::builder(Registry::global())
        .sample_every(Duration::from_secs(1))
        .history(&database)
        .metrics()
        .dashboard(address)
        .pressure(Pressure::default())
        .start()?;
    if let Some(address) = monitor.dashboard_address() {
        let database = database.display();
        println!("dashboard: http://{address}/   history: {database}   Ctrl-C ends it");
    }

    loop {
        let began = Instant::now();
        let mut count = 0;
        let entries = WalkDir::new(&folder).into_iter().filter_map(Result::ok);
        for file in entries.filter(|entry| entry.file_type().is_file()) {
            let on_its_way = files.acquire_owned().await?;
            let (read, hash) = (read.clone(), hash.clone());
            tokio::spawn(async move {
                // One that cannot be read is the business of `checksum`, not of this example.
                let _sum = checksum(file.into_path(), read, hash).await;
                drop(on_its_way);
            });
            count += 1;
        }
        if count == 0 {
            return Err(format!("no file below {folder}: give a folder with some").into());
        }
        files.wait().await;
        println!("{count} files in {:.1} s", began.elapsed().as_secs_f64());
    }
}

async fn checksum(path: PathBuf, read: Handle, hash: Handle) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut sha = Sha256::new();
    loop {
        let permit = read.acquire().await.map_err(io::Error::other)?;
        let (block, rest) = spawn_blocking(move || {
            let mut block = Vec::new();
            file.by_ref().take(BLOCK).read_to_end(&mut block).map(|_| (block, file))
        })
        .await??;
        drop(permit);
        file = rest;
        if block.is_empty() {
            return Ok(sha.finalize().to_vec());
        }
        let permit = hash.acquire().await.map_err(io::Error::other)?;
        sha = spawn_blocking(move || sha.chain_update(block)).await?;
        drop(permit);
    }
}
