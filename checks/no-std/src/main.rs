//! Uses a limiter without std: its exit code is 0 if everything went as it should, else the number
//! of the step that did not.

#![no_std]
#![no_main]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_int, c_void};
use core::future::Future;
use core::panic::PanicInfo;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use grmgr::{Adjustment, ConfigError, Limiter, ManualClock, TryAcquireError};

unsafe extern "C" {
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn free(ptr: *mut c_void);
    fn abort() -> !;
}

struct Malloc;

// SAFETY: `aligned_alloc` does what is asked for, if the size is a multiple of the alignment.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let align = layout.align().max(size_of::<usize>());
        // SAFETY: any size will do.
        unsafe { aligned_alloc(align, layout.size().next_multiple_of(align)) }.cast()
    }

    unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
        // SAFETY: `ptr` came from `alloc`.
        unsafe { free(ptr.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: no precondition.
    unsafe { abort() }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn permits_and_waiters(limiter: &Limiter) -> Result<(), c_int> {
    let first = limiter.try_acquire().map_err(|_| 11)?;
    let second = limiter.try_acquire().map_err(|_| 12)?;
    let mut head = limiter.acquire();
    let mut queued = limiter.acquire();
    if poll(&mut head).is_ready() || poll(&mut queued).is_ready() || limiter.waiting() != 2 {
        return Err(13);
    }
    drop((first, second));
    let (Poll::Ready(Ok(head)), Poll::Ready(Ok(queued))) = (poll(&mut head), poll(&mut queued))
    else {
        return Err(14);
    };
    let mut idle = limiter.wait();
    if poll(&mut idle).is_ready() {
        return Err(15);
    }
    drop((head, queued));
    if poll(&mut idle).is_pending() {
        return Err(16);
    }
    Ok(())
}

fn holds(limiter: &Limiter, clock: &ManualClock) -> Result<(), c_int> {
    if limiter.down() != (Adjustment::Changed { from: 2, to: 1 }) {
        return Err(21);
    }
    if limiter.up() != (Adjustment::Held { remaining: Duration::from_secs(30) }) {
        return Err(22);
    }
    clock.advance(Duration::from_secs(30));
    if limiter.up() != (Adjustment::Changed { from: 1, to: 2 }) {
        return Err(23);
    }
    Ok(())
}

/// Above the setting it caps nothing, as after it is dropped. Turns work without a mutex.
fn caps(limiter: &Limiter) -> Result<(), c_int> {
    let cap = limiter.cap("low").map_err(|_| 31)?;
    cap.set(1);
    let all: [_; 7] = core::array::from_fn(|_| limiter.cap("other"));
    if all.iter().any(Result::is_err) || limiter.cap("ninth").is_ok() {
        return Err(32);
    }
    if (limiter.ceiling(), limiter.setting()) != (1, 2) {
        return Err(33);
    }
    drop(cap);
    if limiter.ceiling() != 2 { Err(34) } else { Ok(()) }
}

fn run() -> Result<(), c_int> {
    if Limiter::builder("no clock").ceiling(1).build().err() != Some(ConfigError::NoClock) {
        return Err(1);
    }
    let clock = ManualClock::new();
    let limiter =
        Limiter::builder("bare").ceiling(2).clock(clock.clone()).build().map_err(|_| 2)?;
    permits_and_waiters(&limiter)?;
    holds(&limiter, &clock)?;
    caps(&limiter)?;
    limiter.close();
    match limiter.try_acquire() {
        Err(TryAcquireError::Closed) => Ok(()),
        _ => Err(3),
    }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    run().err().unwrap_or(0)
}
