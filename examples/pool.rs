//! Threads share 5 connections in line, and no setting opens a sixth: `cargo run --example pool`

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use grmgr::{AcquireError, Adjustment, Limiter};

/// What the database allows.
const CONNECTIONS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limiter = Limiter::builder("db").ceiling(3).max(CONNECTIONS).build()?;
    let pool = Pool { limiter, idle: Mutex::default() };
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| (0..20).try_for_each(|_| pool.with(Connection::query)));
        }
        // The operator asks for more than there is, and gets what there is.
        thread::sleep(Duration::from_millis(20));
        let raised = pool.limiter.set_ceiling(100);
        assert_eq!(raised, Adjustment::Changed { from: 3, to: CONNECTIONS });
    });

    let opened = OPENED.load(Relaxed);
    let idle = pool.idle.into_inner()?;
    let queries: usize = idle.iter().map(|connection| connection.queries).sum();
    println!("{queries} queries over {opened} connections");
    assert_eq!((queries, opened), (20 * 20, idle.len()));
    assert!((3..=CONNECTIONS).contains(&opened));
    Ok(())
}

/// The limiter decides when a connection may be used, the list which one.
struct Pool {
    limiter: Limiter,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    fn with<R>(&self, work: impl FnOnce(&mut Connection) -> R) -> Result<R, AcquireError> {
        let one_second = Duration::from_secs(1);
        // Declared first, so given back last, also if the work panics and its connection is lost.
        let _permit = self.limiter.acquire().blocking_timeout(one_second)?;
        let idle = self.idle.lock().expect("no panic").pop();
        let mut connection = idle.unwrap_or_else(Connection::open);
        let result = work(&mut connection);
        self.idle.lock().expect("no panic").push(connection);
        Ok(result)
    }
}

static OPENED: AtomicUsize = AtomicUsize::new(0);

struct Connection {
    queries: usize,
}

impl Connection {
    fn open() -> Self {
        assert!(OPENED.fetch_add(1, Relaxed) < CONNECTIONS, "the database refuses");
        Self { queries: 0 }
    }

    fn query(&mut self) {
        thread::sleep(Duration::from_millis(1));
        self.queries += 1;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        OPENED.fetch_sub(1, Relaxed);
    }
}
