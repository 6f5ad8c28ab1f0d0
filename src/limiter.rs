//! The public type, which is thin: the work is done in `cell.rs`, `waiter.rs`, `caps.rs` and
//! `throttle.rs`.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
#[cfg(feature = "stats")]
use std::sync::LazyLock;

use alloc::borrow::Cow;
use alloc::boxed::Box;

use crate::acquire::{Acquire, AcquireOf};
use crate::builder::Builder;
#[cfg(feature = "std")]
use crate::builder::PATIENCE;
use crate::caps::Hands;
use crate::cell::Cell;
use crate::clock::Clock;
#[cfg(feature = "std")]
use crate::clock::SystemClock;
use crate::error::{AcquireError, ConfigError, TryAcquireError};
use crate::idle::{Wait, WaitOf};
use crate::observe::Held;
use crate::permit::{Permit, PermitOf};
use crate::run::Run;
use crate::state::MAX_COUNT;
#[cfg(feature = "stats")]
use crate::stats::{Counters, Holders};
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::const_unless_loom;
use crate::throttle::{Adjust, Adjustment, Throttle};

/// A clock that the builder was given. Boxed twice: few limiters have one, and a wide pointer would make
/// each of them larger.
pub(crate) type ItsClock = Box<Box<dyn Clock>>;

/// The cause of changes that are made by hand.
pub(crate) const MANUAL: &str = "manual";

/// Lets at most `ceiling` pieces of work run at once, and lets the ceiling be moved at any time.
///
/// Work asks for a *permit* before it starts and gives it back, by dropping it, when it ends. A
/// request that finds none free waits in line, in async code and in threads alike. A limiter is a
/// plain value: put it in a `static`, a field or a [`Handle`](crate::Handle).
///
/// ```
/// use grmgr::Limiter;
///
/// static DB: Limiter = Limiter::const_new("db", 20);
///
/// async fn query() -> Result<(), grmgr::AcquireError> {
///     let _permit = DB.acquire().await?;
///     // At most 20 get here at once.
///     Ok(())
/// }
/// ```
///
/// # Order
///
/// Waiters are served first in, first out. A request that comes while others wait is a *newcomer* and
/// may take a free permit before them, until the first in line has been woken and found too few permits
/// as many times as its [`patience`](Builder::patience); from then on permits are kept for it. A large
/// request that is first in line is woken when enough permits are free for it. Each permit that comes
/// back before that counts as if the request had been woken in vain.
///
/// A task that acquires in a loop and never has to wait could keep its thread from running the waiter
/// that has been woken. So a newcomer that is awaited, or blocks its thread, gives way once newcomers
/// have gone past that waiter 15 × (patience + 1) times: it wakes itself and returns `Pending`, or
/// yields the thread, once, and then it may go past. After 16 × (patience + 1) times the count begins
/// anew. The exceptions:
///
/// - [`try_acquire`](Self::try_acquire) cannot give way.
/// - A waiter whose future is never polled, in a `select!` or a `FuturesUnordered` for instance, delays
///   newcomers only while they may go past it. The waiters behind it get only permits that are free
///   beyond the one it was woken for. If it has used up its patience, or with a patience of 0, newcomers
///   wait, too.
/// - Permits that were handed to a waiter behind the first in line, or granted to a large request that waited
///   behind others, stay with it until it is polled or dropped.
/// - A waiting future that is forgotten ([`core::mem::forget`]) stays in line for good.
/// - A request that enters at the very moment at which a large request does may be served on either side
///   of it. Without `std`, waiters are woken one after another while a large request is in line.
///
/// # Wakers
///
/// The thread that frees a permit wakes the waiting tasks. It wakes some of them while it holds a lock of
/// the queue, and wakers are also cloned and dropped under that lock. In `wake`, and when it is dropped, a
/// waker may use the limiter: acquire without waiting, release, move the ceiling, pause, close, read. The
/// exceptions:
///
/// - A waker that, in `wake` or when it is dropped, polls or drops a request or a [`Wait`] that waits
///   for the same limiter, or lets a new request begin to wait, may deadlock. So may one that drops
///   its own task there, with such a request in it, because the task's executor is gone. Two limiters may
///   deadlock with each other if the wakers of each do so with requests of the other.
/// - If the waker of the first in line panics, no permit is lost, and no wake-up of another waiter. If
///   that of a waiter behind it panics, permits may be lost, and the line may stand still for good, even
///   after a [`close`](Self::close). The same holds for a waker that panics when it is cloned.
/// - Without `std` the lock is a spinlock. A permit that is dropped in an interrupt handler may
///   deadlock then if the handler has interrupted the limiter; the feature `critical-section` of
///   `event-listener` prevents that. Nothing prevents it if the handler moves a hand on the ceiling,
///   pauses the limiter, or takes a snapshot of it.
// Two limiters side by side share no cache line, and the queue's order of fields counts.
#[repr(C, align(64))]
pub struct Limiter {
    pub(crate) cell: Cell,
    pub(crate) hands: Hands,
    /// `None`: the system's, if there is one.
    pub(crate) clock: Option<ItsClock>,
    /// `None`: they are not tracked. Every acquire looks here, so it lies among fields that hardly change.
    /// Made for the first permit: a constant cannot allocate.
    #[cfg(feature = "stats")]
    pub(crate) holders: Option<LazyLock<Box<Holders>>>,
    pub(crate) name: Cow<'static, str>,
    #[cfg(feature = "stats")]
    pub(crate) counters: Counters,
}

/// Making one.
impl Limiter {
    /// The highest ceiling: 2^28 - 1.
    pub const MAX_CEILING: usize = MAX_COUNT;

    /// Makes a limiter with this ceiling, 1 to [`MAX_CEILING`](Self::MAX_CEILING).
    ///
    /// It is also the highest; the lowest is 1. Steps: 2 down, 1 up. Hold: 30 s. For anything else there is
    /// the [`builder`](Self::builder).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// assert_eq!((db.name(), db.ceiling()), ("db", 20));
    /// ```
    ///
    /// # Panics
    ///
    /// If the ceiling is 0 or above [`MAX_CEILING`](Self::MAX_CEILING).
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn new(name: impl Into<Cow<'static, str>>, ceiling: usize) -> Self {
        Self::simple(name.into(), ceiling)
    }

    /// Makes a limiter as [`new`](Self::new) does, for a `static`.
    ///
    /// Each option but the clock can follow: [`with_min`](Self::with_min) and those after it.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// static DB: Limiter = Limiter::const_new("db", 20).with_max(50);
    /// assert_eq!(DB.throttle().max, 50);
    /// ```
    ///
    /// # Panics
    ///
    /// As `new`; in a constant the program does not compile then.
    #[cfg(all(feature = "std", not(loom)))]
    #[track_caller]
    pub const fn const_new(name: &'static str, ceiling: usize) -> Self {
        Self::simple(Cow::Borrowed(name), ceiling)
    }

    const_unless_loom! {
        #[cfg(feature = "std")]
        #[track_caller]
        fn simple(name: Cow<'static, str>, ceiling: usize) -> Self {
            assert!(
                ceiling > 0 && ceiling <= MAX_COUNT,
                "a limiter's ceiling is 1 to Limiter::MAX_CEILING; for one that may be 0 use \
                 Limiter::builder with `min(0)`"
            );
            Self::from_parts(name, ceiling, Throttle::new(ceiling), PATIENCE, u32::MAX, true, None)
        }
    }

    const_unless_loom! {
        pub(crate) fn from_parts(
            name: Cow<'static, str>,
            ceiling: usize,
            throttle: Throttle,
            patience: u32,
            max_waiting: u32,
            run_alone: bool,
            clock: Option<ItsClock>,
        ) -> Self {
            let alone_above = if run_alone { 0 } else { throttle.max as u32 };
            Self {
                cell: Cell::new(ceiling, patience, max_waiting, alone_above),
                hands: Hands::new(ceiling, throttle),
                clock,
                #[cfg(feature = "stats")]
                holders: None,
                name,
                #[cfg(feature = "stats")]
                counters: Counters::new(),
            }
        }
    }

    /// Returns a builder, for a limiter with bounds, steps, holds and a clock of your choice.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::builder("db").ceiling(20).min(0).max(50).build()?;
    /// # Ok::<(), grmgr::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Cow<'static, str>>) -> Builder {
        Builder::new(name.into())
    }
}

/// Acquiring permits.
impl Limiter {
    /// Asks for one permit.
    ///
    /// Newcomers may be served before those in line for a while (see
    /// [`patience`](Builder::patience)); those in line are served first in, first out.
    ///
    /// Await it: `let permit = limiter.acquire();` compiles, and holds nothing. Give the permit a name, if
    /// only `_permit`: `let _ = limiter.acquire().await` gives it back at once, before the work begins.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # smol::block_on(async {
    /// let db = Limiter::new("db", 20);
    /// let _permit = db.acquire().await?;
    /// assert_eq!(db.in_flight(), 1);
    /// let _ = db.acquire().await?; // not what was meant
    /// let request = db.acquire(); // not awaited
    /// assert_eq!(db.in_flight(), 1);
    /// # drop(request);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line and nothing else: see [`AcquireOf`].
    #[inline]
    pub fn acquire(&self) -> Acquire<'_> {
        AcquireOf::new(self, 1)
    }

    /// Asks for `n` permits at once.
    ///
    /// 0 are granted at once, unless the limiter is closed. More than the present ceiling, but no more than
    /// the highest, are granted when nothing else is in flight (see [`run_alone`](Builder::run_alone)).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # smol::block_on(async {
    /// let memory = Limiter::new("memory in MiB", 512);
    /// let permit = memory.acquire_many(100).await?;
    /// assert_eq!(permit.count(), 100);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_many(&self, n: usize) -> Acquire<'_> {
        AcquireOf::new(self, n)
    }

    /// Takes one permit if it can be had without waiting.
    ///
    /// ```
    /// # use grmgr::{Limiter, TryAcquireError};
    /// let db = Limiter::new("db", 1);
    /// let permit = db.try_acquire()?;
    /// assert_eq!(db.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    /// # drop(permit);
    /// # Ok::<(), TryAcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`TryAcquireError`]. While waiters are being called, one may be refused a permit that is
    /// free a moment later.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if they can be had without waiting.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let memory = Limiter::new("memory in MiB", 512);
    /// assert_eq!(memory.try_acquire_many(500)?.count(), 500);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_many(&self, n: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.try_take(n).map(|()| PermitOf::new(self, n))
    }

    /// Waits for one permit by blocking the thread: `acquire().blocking()`.
    ///
    /// With a time limit: [`acquire().blocking_timeout(…)`](AcquireOf::blocking_timeout).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// let _permit = db.acquire_blocking()?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    #[cfg(feature = "std")]
    #[inline]
    pub fn acquire_blocking(&self) -> Result<Permit<'_>, AcquireError> {
        self.acquire().blocking()
    }

    /// Waits for `n` permits by blocking the thread: `acquire_many(n).blocking()`.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let memory = Limiter::new("memory in MiB", 512);
    /// assert_eq!(memory.acquire_many_blocking(100)?.count(), 100);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    #[cfg(feature = "std")]
    #[inline]
    pub fn acquire_many_blocking(&self, n: usize) -> Result<Permit<'_>, AcquireError> {
        self.acquire_many(n).blocking()
    }

    /// Runs `work` under a permit, which is given back at the moment the work is ready.
    ///
    /// It waits for the permit first, and polls `work` only then.
    ///
    /// With more permits than one: [`acquire_many(n).run(work)`](AcquireOf::run). Work that reads the
    /// clock when it is made counts the time in line, too: see [`RunOf`](crate::RunOf).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # smol::block_on(async {
    /// let db = Limiter::new("db", 20);
    /// let row = db.run(async { "a row" }).await?;
    /// assert_eq!((row, db.in_flight()), ("a row", 0));
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`]; the work has not been polled then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work with it: see [`RunOf`](crate::RunOf).
    #[inline]
    pub fn run<F: Future>(&self, work: F) -> Run<'_, F> {
        self.acquire().run(work)
    }

    /// Gives back one permit that was [forgotten](PermitOf::forget).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// db.try_acquire()?.forget();
    /// assert_eq!(db.in_flight(), 1);
    /// db.done();
    /// assert_eq!(db.in_flight(), 0);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If no permit is forgotten.
    #[track_caller]
    pub fn done(&self) {
        // Relaxed: only the count matters. The caller has learnt of the forgotten permit by an ordering of
        // its own; the release below does the rest.
        let forgotten = self
            .cell
            .forgotten
            .fetch_update(Relaxed, Relaxed, |forgotten| forgotten.checked_sub(1));
        assert!(
            forgotten.is_ok(),
            "done() on limiter {:?} without a forgotten permit: call it once for each permit on \
             which forget() was called, and drop the others",
            self.name,
        );
        self.on_done();
    }

    pub(crate) fn remember_forgotten(&self, held: Held) {
        // Before it is counted, so that `done` finds it.
        self.on_forgotten(held);
        self.cell.forgotten.fetch_add(held.count() as u32, Relaxed);
    }

    #[inline]
    pub(crate) fn release(&self, n: usize) {
        self.cell.release(n, || self.end_terms());
    }

    /// Takes `n` permits without waiting, and returns whether it could. See [`Cell::take`].
    #[inline]
    pub(crate) fn take(&self, n: usize, gives_way: bool) -> bool {
        let take = || self.cell.take(n, gives_way, self.on_granted(n), || self.end_terms());
        (n <= 1 || n <= self.hands.rule.max()) && take()
    }

    #[inline]
    pub(crate) fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        if self.take(n, false) { Ok(()) } else { self.try_refused(n) }
    }

    #[cold]
    fn try_refused(&self, n: usize) -> Result<(), TryAcquireError> {
        let error = match self.answer_without_waiting(n) {
            Some(Ok(())) => return Ok(()),
            Some(Err(AcquireError::Closed)) => TryAcquireError::Closed,
            Some(Err(AcquireError::ExceedsMax { requested, max })) => {
                TryAcquireError::ExceedsMax { requested, max }
            }
            None if self.is_closed() => TryAcquireError::Closed,
            // Only the two above are answers without waiting.
            Some(Err(_)) | None => TryAcquireError::NoPermits,
        };
        self.on_try_refused(error);
        Err(error)
    }

    /// The answer to a request that is not for 1 to `max` permits, and so need not wait.
    #[inline]
    pub(crate) fn answer_without_waiting(&self, n: usize) -> Option<Result<(), AcquireError>> {
        let max = self.hands.rule.max();
        if (1..=max).contains(&n) {
            None
        } else if self.is_closed() {
            Some(Err(AcquireError::Closed))
        } else if n > max {
            Some(Err(AcquireError::ExceedsMax { requested: n, max }))
        } else {
            Some(Ok(()))
        }
    }
}

/// Moving the ceiling.
impl Limiter {
    /// Raises the setting by one step, at most to `max`: `adjust(Adjust::Up, "manual")`.
    ///
    /// ```
    /// # use grmgr::{Adjustment, Limiter};
    /// let db = Limiter::builder("db").ceiling(20).max(50).up(5).build()?;
    /// assert_eq!(db.up(), Adjustment::Changed { from: 20, to: 25 });
    /// assert!(matches!(db.up(), Adjustment::Held { .. }));
    /// # Ok::<(), grmgr::ConfigError>(())
    /// ```
    #[must_use = "a change may have been refused"]
    pub fn up(&self) -> Adjustment {
        self.adjust(Adjust::Up, MANUAL)
    }

    /// Lowers the setting by one step, at most to `min`: `adjust(Adjust::Down, "manual")`.
    ///
    /// ```
    /// # use grmgr::{Adjustment, Limiter};
    /// let db = Limiter::new("db", 20);
    /// assert_eq!(db.down(), Adjustment::Changed { from: 20, to: 18 });
    /// ```
    #[must_use = "a change may have been refused"]
    pub fn down(&self) -> Adjustment {
        self.adjust(Adjust::Down, MANUAL)
    }

    /// Sets the setting, clamped to `min` and `max`: `adjust(Adjust::To(ceiling), "manual")`.
    ///
    /// No hold applies to it.
    ///
    /// ```
    /// # use grmgr::{Adjustment, Limiter};
    /// let db = Limiter::new("db", 20);
    /// assert_eq!(db.set_ceiling(5), Adjustment::Changed { from: 20, to: 5 });
    /// assert_eq!(db.set_ceiling(30), Adjustment::Changed { from: 5, to: 20 });
    /// ```
    #[must_use = "a change may have been refused"]
    pub fn set_ceiling(&self, ceiling: usize) -> Adjustment {
        self.adjust(Adjust::To(ceiling), MANUAL)
    }

    /// Changes the setting, which is the ceiling as long as no [cap](Self::cap) is below it.
    ///
    /// Returns at once; the result is about the setting. Lowering the ceiling below the number in
    /// flight cancels no work: nothing is granted until enough permits are back. Raising it
    /// wakes as many waiters as there are free permits. After any change of the setting, steps up
    /// are refused for one time and steps down for another (see [`Throttle`]). `cause` goes into
    /// the log of changes.
    ///
    /// ```
    /// # use grmgr::{Adjust, Limiter};
    /// let db = Limiter::new("db", 20);
    /// let result = db.adjust(Adjust::To(5), format!("replica {} is down", 2));
    /// assert_eq!(result.to_string(), "lowered from 20 to 5");
    /// ```
    #[must_use = "a change may have been refused"]
    pub fn adjust(&self, to: Adjust, cause: impl Into<Cow<'static, str>>) -> Adjustment {
        // I18: asked before anything changes, and before the turn.
        let now = self.now().unwrap_or_default();
        let (result, ceiling) = self.in_turn(|turn| turn.adjust(to, now));
        self.on_adjusted(to, cause.into(), result, ceiling, now);
        result
    }

    /// Replaces the rule by which the setting moves: its bounds, steps and holds.
    ///
    /// The setting is clamped to the new bounds. If that moves it, it is a change like any other, with
    /// the cause "reconfigure", and the result tells of it. Requests in line for more than the new `max`
    /// stay there and are granted when nothing else is in flight; new ones are refused.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the option; nothing has changed then.
    ///
    /// ```
    /// use grmgr::{Adjustment, Limiter};
    ///
    /// let db = Limiter::new("db", 20);
    /// let result = db.reconfigure(db.throttle().max(10).down(5))?;
    /// assert_eq!(result, Adjustment::Changed { from: 20, to: 10 });
    /// # Ok::<(), grmgr::ConfigError>(())
    /// ```
    pub fn reconfigure(&self, throttle: Throttle) -> Result<Adjustment, ConfigError> {
        throttle.check()?;
        if cfg!(not(feature = "std")) && self.clock.is_none() && throttle.has_holds() {
            return Err(ConfigError::NoClock);
        }
        Ok(self.replace_throttle(throttle, None, "reconfigure"))
    }

    /// Replaces the rule, which has been checked, and the setting too if one is given.
    pub(crate) fn replace_throttle(
        &self,
        throttle: Throttle,
        setting: Option<usize>,
        cause: &'static str,
    ) -> Adjustment {
        let now = self.now().unwrap_or_default();
        let (result, ceiling) = self.in_turn(|turn| {
            // In the turn, so that of two calls the last one decides, and before anything calls out.
            self.cell.set_max(throttle.max);
            turn.reconfigure(throttle, setting, now)
        });
        self.cell.tell_of_max();
        self.on_adjusted(Adjust::To(self.setting()), cause.into(), result, ceiling, now);
        result
    }

    /// Grants nothing until [`resume`](Self::resume).
    ///
    /// The ceiling stays as it is, and can be moved meanwhile; permits that are out stay valid.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// db.pause();
    /// assert!(db.is_paused() && db.try_acquire().is_err());
    /// db.resume();
    /// assert!(db.try_acquire().is_ok());
    /// ```
    pub fn pause(&self) {
        self.in_turn(|turn| turn.pause(true));
    }

    /// Ends a [`pause`](Self::pause), and wakes as many waiters as there are free permits.
    pub fn resume(&self) {
        self.in_turn(|turn| turn.pause(false));
    }

    /// Returns whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.hands.is_paused()
    }
}

/// Ending.
impl Limiter {
    /// Waits until nothing is in flight and no request waits.
    ///
    /// It resolves once there has been such a moment, even if work has started again since. Any number of
    /// tasks and threads may wait.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # smol::block_on(async {
    /// let jobs = Limiter::new("jobs", 4);
    /// jobs.run(async { "a job" }).await?;
    /// jobs.wait().await;
    /// assert_eq!(jobs.in_flight(), 0);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub fn wait(&self) -> Wait<'_> {
        WaitOf::new(self)
    }

    /// Waits by blocking the thread until nothing is in flight and no request waits.
    #[cfg(feature = "std")]
    pub fn wait_blocking(&self) {
        self.wait().blocking();
    }

    /// Closes it for good: refuses new requests, and waiters get [`Closed`](AcquireError::Closed).
    ///
    /// Permits that are out stay valid. A waiter that had been handed one before may still get it.
    ///
    /// ```
    /// # use grmgr::{AcquireError, Limiter};
    /// let jobs = Limiter::new("jobs", 4);
    /// let running = jobs.acquire_blocking()?;
    /// jobs.close();
    /// assert_eq!(jobs.acquire_blocking().unwrap_err(), AcquireError::Closed);
    /// drop(running);
    /// jobs.wait_blocking();
    /// # Ok::<(), AcquireError>(())
    /// ```
    pub fn close(&self) {
        self.cell.close();
    }

    /// Returns whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.cell.word.load().is_closed()
    }
}

/// Time.
impl Limiter {
    /// Returns the time by its [clock](Clock), with which the end of a cap's term is compared.
    ///
    /// `None` only without feature `std`, if it was given no clock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grmgr::Limiter;
    ///
    /// let db = Limiter::new("db", 20);
    /// let share = db.cap("share")?;
    /// let soon = db.now().expect("the system's clock") + Duration::from_secs(15);
    /// share.set_until(5, 0, soon);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn now(&self) -> Option<Duration> {
        match &self.clock {
            Some(clock) => Some(clock.now()),
            #[cfg(feature = "std")]
            None => Some(SystemClock.now()),
            #[cfg(not(feature = "std"))]
            None => None,
        }
    }
}

// No change has two steps of which a panic could leave out the second, and the clock, which is the
// user's code, is only asked.
impl UnwindSafe for Limiter {}
impl RefUnwindSafe for Limiter {}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the clock nor a lock: it may be printed from anywhere.
        let mut out = f.debug_struct("Limiter");
        out.field("name", &self.name)
            .field("in_flight", &self.in_flight())
            .field("ceiling", &self.hands.lowest())
            .field("setting", &self.setting())
            .field("waiting", &self.waiting());
        for (state, holds) in [("paused", self.is_paused()), ("closed", self.is_closed())] {
            if holds {
                out.field(state, &true);
            }
        }
        out.finish_non_exhaustive()
    }
}
