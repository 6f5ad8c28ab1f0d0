//! Threads share 512 KiB, give back early what they do not need, and hand parts on: `cargo run --example memory_budget`

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use grmgr::{AcquireError, Limiter, Permit};

static MEMORY: Limiter = Limiter::const_new("memory in KiB", 512);

/// What is really in use, and the most that ever was.
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let (sender, previews) = channel();
    thread::scope(|scope| {
        for worker in 1..=8 {
            let sender = sender.clone();
            scope.spawn(move || (0..50).try_for_each(|_| convert(worker * 16, &sender)));
        }
        drop(sender);
        // Written elsewhere: each brings the permits for its memory.
        let written: usize = previews.iter().map(|preview: Data| preview.bytes.len()).sum();
        println!("{} KiB of previews", written / 1024);
        assert_eq!(written / 1024, (1..=8).map(|worker| 50 * worker * 8).sum::<usize>());
    });
    println!("at most {} of {} KiB in use", PEAK.load(SeqCst), MEMORY.ceiling());
    assert!(PEAK.load(SeqCst) <= 512);
    assert_eq!((USED.load(SeqCst), MEMORY.in_flight()), (0, 0));

    // What can never fit is refused at once, instead of waiting for ever.
    let refused = MEMORY.acquire_many_blocking(513).unwrap_err();
    println!("513 KiB: {refused}");
    assert_eq!(refused, AcquireError::ExceedsMax { requested: 513, max: 512 });
}

/// Makes an image of a file, and a preview of the image.
fn convert(size: usize, previews: &Sender<Data>) -> Result<(), AcquireError> {
    // An image may be three times as large as its file. All is asked for at once: two that each
    // had a part could wait for each other's.
    let mut budget = MEMORY.acquire_many_blocking(size * 4)?;
    let file = Data::new(budget.split(size).expect("a quarter"));
    // This one is only twice as large, with its preview: the rest is for others.
    assert_eq!(budget.release(size), Some(size * 2));
    let preview = Data::new(budget.split(size / 2).expect("a quarter of it"));
    let image = Data::new(budget);
    drop((file, image));
    let _ = previews.send(preview);
    Ok(())
}

/// Memory, and the permits for it.
struct Data {
    bytes: Vec<u8>,
    /// The last field: it is dropped after the memory.
    permit: Permit<'static>,
}

impl Data {
    fn new(permit: Permit<'static>) -> Self {
        let used = USED.fetch_add(permit.count(), SeqCst) + permit.count();
        PEAK.fetch_max(used, SeqCst);
        Self { bytes: vec![0; permit.count() * 1024], permit }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        USED.fetch_sub(self.permit.count(), SeqCst);
    }
}
