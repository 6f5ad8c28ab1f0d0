//! The textbook semaphore, a counter under a mutex and a condition variable, twice: over std and
//! over parking_lot. For the blocking rows; nothing here can be awaited.
//!
//! Both count the waiters: std's condition variable makes a system call for every notification, also
//! without a waiter.

use super::{BlockingPeer, Kind, Peer};

#[derive(Debug)]
struct State {
    free: usize,
    waiting: usize,
}

impl State {
    fn new(ceiling: usize) -> Self {
        Self { free: ceiling, waiting: 0 }
    }

    #[inline]
    fn try_take(&mut self) -> bool {
        let free = self.free > 0;
        self.free -= usize::from(free);
        free
    }

    /// Whether a waiter must be told.
    #[inline]
    fn give_back(&mut self) -> bool {
        self.free += 1;
        self.waiting > 0
    }
}

/// A counter under `std::sync::Mutex` and `Condvar`.
#[derive(Debug)]
pub struct Std {
    state: std::sync::Mutex<State>,
    released: std::sync::Condvar,
}

impl Std {
    #[inline]
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }
}

/// The guard of [`Std`].
#[derive(Debug)]
pub struct StdPermit<'a>(&'a Std);

impl Drop for StdPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        let tell = self.0.lock().give_back();
        if tell {
            self.0.released.notify_one();
        }
    }
}

impl Peer for Std {
    const NAME: &'static str = "std";
    const KIND: Kind = Kind::Counted;
    type Permit<'a> = StdPermit<'a>;

    fn new(ceiling: usize) -> Self {
        Self {
            state: std::sync::Mutex::new(State::new(ceiling)),
            released: std::sync::Condvar::new(),
        }
    }
    #[inline]
    fn try_acquire(&self) -> Option<StdPermit<'_>> {
        let taken = self.lock().try_take();
        taken.then(|| StdPermit(self))
    }
}

impl BlockingPeer for Std {
    #[inline]
    fn acquire_blocking(&self) -> StdPermit<'_> {
        let mut state = self.lock();
        if !state.try_take() {
            state.waiting += 1;
            while !state.try_take() {
                state = self.released.wait(state).expect("not poisoned");
            }
            state.waiting -= 1;
        }
        StdPermit(self)
    }
}

/// A counter under `parking_lot::Mutex` and `Condvar`.
#[derive(Debug)]
pub struct ParkingLot {
    state: parking_lot::Mutex<State>,
    released: parking_lot::Condvar,
}

/// The guard of [`ParkingLot`].
#[derive(Debug)]
pub struct ParkingLotPermit<'a>(&'a ParkingLot);

impl Drop for ParkingLotPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        let tell = self.0.state.lock().give_back();
        if tell {
            self.0.released.notify_one();
        }
    }
}

impl Peer for ParkingLot {
    const NAME: &'static str = "parking_lot";
    const KIND: Kind = Kind::Counted;
    type Permit<'a> = ParkingLotPermit<'a>;

    fn new(ceiling: usize) -> Self {
        Self {
            state: parking_lot::Mutex::new(State::new(ceiling)),
            released: parking_lot::Condvar::new(),
        }
    }
    #[inline]
    fn try_acquire(&self) -> Option<ParkingLotPermit<'_>> {
        let taken = self.state.lock().try_take();
        taken.then(|| ParkingLotPermit(self))
    }
}

impl BlockingPeer for ParkingLot {
    #[inline]
    fn acquire_blocking(&self) -> ParkingLotPermit<'_> {
        let mut state = self.state.lock();
        if !state.try_take() {
            state.waiting += 1;
            while !state.try_take() {
                self.released.wait(&mut state);
            }
            state.waiting -= 1;
        }
        ParkingLotPermit(self)
    }
}
