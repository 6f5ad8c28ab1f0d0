//! Limits in a TOML file, reloaded under load; a mistake in it changes nothing: `cargo run --features serde --example reload`

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use std::{fs, thread};

use grmgr::{Applied, Configs, Registry};

static LIMITERS: Registry = Registry::new();
static SERVED: AtomicUsize = AtomicUsize::new(0);

#[derive(serde::Deserialize)]
struct File {
    limiters: Configs,
}

/// Call it at the start, and on a signal, a request or a file watcher's event.
fn load(path: &Path) -> Result<Vec<Applied>, Box<dyn Error>> {
    let file: File = toml::from_str(&fs::read_to_string(path)?)?;
    Ok(LIMITERS.apply(file.limiters)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("limits.toml");
    fs::write(&path, "[limiters.db]\nceiling = 2")?;
    load(&path)?;
    let db = LIMITERS.get("db").ok_or("it is in the file")?;
    let threads: Vec<_> = (0..8).map(|_| thread::spawn(work)).collect();
    edit(&path)?;
    // Work has gone on all the while, and still does.
    let before = SERVED.load(Relaxed);
    while SERVED.load(Relaxed) < before + 100 {
        thread::sleep(Duration::from_millis(1));
    }
    LIMITERS.close_all();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    println!("{} pieces of work", SERVED.load(Relaxed));
    assert_eq!((db.in_flight(), db.waiting()), (0, 0));
    Ok(())
}

fn work() {
    let db = LIMITERS.get("db").expect("it stays");
    while let Ok(_permit) = db.acquire_blocking() {
        thread::sleep(Duration::from_millis(1));
        SERVED.fetch_add(1, Relaxed);
    }
    assert!(db.is_closed(), "a request was refused because of a reload");
}

fn edit(path: &Path) -> Result<(), Box<dyn Error>> {
    let ceilings = || LIMITERS.limiters().iter().map(|known| known.ceiling()).collect::<Vec<_>>();
    // A higher ceiling for the database, and a new limiter.
    let text = "[limiters.db]\nceiling = 6\ndown = \"50%\"\n[limiters.api]\nceiling = 8";
    fs::write(path, text)?;
    for applied in load(path)? {
        println!("{}: {:?}", applied.limiter, applied.outcome);
    }
    assert_eq!((LIMITERS.names(), ceilings()), (vec!["api".into(), "db".into()], vec![8, 6]));

    // The last entry is wrong, so the first has no effect either.
    fs::write(path, "[limiters.api]\nceiling = 1\n[limiters.db]\nceiling = 1\nmin = 3")?;
    let refused = load(path).expect_err("the ceiling is below min").to_string();
    println!("{refused}");
    assert!(refused.starts_with("nothing has changed: limiter \"db\""));

    // A misspelt option: the same.
    fs::write(path, "[limiters.api]\nceiling = 1\n[limiters.db]\nceilling = 1")?;
    let refused = load(path).expect_err("a typing error").to_string();
    println!("{refused}");
    assert!(refused.contains("limiter \"db\": unknown field `ceilling`"));
    assert_eq!(ceilings(), [8, 6]);
    Ok(())
}
