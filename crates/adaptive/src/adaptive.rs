//! A limiter whose ceiling a controller moves.

use std::borrow::Borrow;
use std::boxed::Box;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use concurrent_queue::ConcurrentQueue;
use grmgr::{AcquireError, Clock, Handle, OwnedCap, SystemClock, TooManyCaps, TryAcquireError};

use crate::{Controller, Experiment, Outcome, Sample};

/// How many samples may lie in the queue.
const QUEUE: usize = 1_024;
/// How long they may lie there while more of them come, in nanoseconds.
const EVERY: u64 = 250_000;

/// A limiter whose ceiling a [`Controller`] moves; its clones are the same one.
///
/// Permits from here know when they began. Say how the request ended: [`success`](MeasuredPermit::success),
/// [`overload`](MeasuredPermit::overload), [`ignore`](MeasuredPermit::ignore). A permit that is dropped without a
/// word is ignored.
///
/// The ceiling is moved through a [cap](grmgr::CapOf) of its own, with the cause "adaptive". What else is on
/// the limiter stays as it is: the setting is the upper limit of all, other caps too, and the lowest
/// rules. Permits that are taken from the limiter itself are limited alike and not measured.
///
/// No request waits for a controller: samples go into a bounded queue, and the controller is run in
/// passing, by one of those that bring a sample.
///
/// If a controller panics it is not asked again, and the cap is lifted. So it is when the last clone and the
/// last owned permit are dropped.
///
/// ```
/// use grmgr::Limiter;
/// use grmgr_adaptive::Adaptive;
///
/// # smol::block_on(async {
/// // From 20 on; never above what an operator allows, and at most 200.
/// let backend = Adaptive::new(Limiter::builder("backend").ceiling(20).max(200).build()?)?;
///
/// let permit = backend.acquire().await?;
/// match call().await {
///     Ok(_) => permit.success(),
///     Err(503) => permit.overload(),
///     Err(_) => permit.ignore(),
/// }
/// # async fn call() -> Result<(), u16> { Ok(()) }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Adaptive {
    shared: Arc<Shared>,
}

struct Shared {
    limiter: Handle,
    cap: OwnedCap,
    floor: usize,
    dry_run: bool,
    /// Until then nothing is measured.
    warm_until: u64,
    queue: ConcurrentQueue<Ended>,
    /// When the controller is run next. Relaxed: it only spares work.
    due: AtomicU64,
    /// `None` after the controller has panicked.
    running: Mutex<Option<Running>>,
    // For snapshots. Relaxed: each is read by itself.
    wanted: AtomicUsize,
    samples: AtomicU64,
    lost: AtomicU64,
    failed: AtomicBool,
}

struct Running {
    controller: Box<dyn Controller + Send>,
    /// The end of the request at which the controller moved the ceiling last, and when it was in force.
    decided: u64,
    moved: u64,
}

/// What a request leaves behind when it has ended; times in nanoseconds.
struct Ended {
    started: u64,
    at: u64,
    in_flight: u32,
    overload: bool,
}

/// When a request got its permit, and how many were in flight then.
///
/// From [`Adaptive::started`], for [`Adaptive::record`]. It may be copied and kept, and not be used at all.
///
/// ```
/// # use grmgr::Limiter;
/// use grmgr_adaptive::{Adaptive, Outcome, Started};
///
/// let backend = Adaptive::new(Limiter::new("backend", 20))?;
/// let started: Started = backend.started();
/// backend.record(started, Outcome::Overload);
/// # Ok::<(), grmgr::TooManyCaps>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Started {
    at: u64,
    in_flight: u32,
}

/// Shows what a controller does; see [`Adaptive::snapshot`].
///
/// ```
/// # use grmgr::Limiter;
/// # use grmgr_adaptive::Adaptive;
/// let backend = Adaptive::builder(Limiter::new("backend", 20)).dry_run(true).build()?;
/// let snapshot = backend.snapshot();
/// assert_eq!((snapshot.wanted, snapshot.cap), (20, None));
/// # Ok::<(), grmgr::TooManyCaps>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The ceiling that the controller wants.
    pub wanted: usize,
    /// Where its cap stands; `None` in a dry run, while it warms up, and after a panic.
    pub cap: Option<usize>,
    /// Whether it moves nothing.
    pub dry_run: bool,
    /// How many requests the controller has seen.
    pub samples: u64,
    /// How many it has not seen because too many ended at once.
    pub lost: u64,
    /// Whether the controller has panicked.
    pub failed: bool,
}

/// Makes an [`Adaptive`]; from [`Adaptive::builder`].
///
/// ```
/// # use grmgr::Limiter;
/// use grmgr_adaptive::{Adaptive, Builder};
///
/// let builder: Builder = Adaptive::builder(Limiter::new("backend", 20)).floor(2);
/// let backend = builder.build()?;
/// # let _ = backend.snapshot();
/// # Ok::<(), grmgr::TooManyCaps>(())
/// ```
pub struct Builder {
    limiter: Handle,
    controller: Option<Box<dyn Controller + Send>>,
    floor: usize,
    dry_run: bool,
    warm_up: Duration,
}

impl Builder {
    /// Sets the controller, and with it where the ceiling starts and between which bounds it moves.
    ///
    /// If not set: an [`Experiment`] from the present ceiling, at most the limiter's `max`.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::{Adaptive, Aimd};
    /// let backend = Adaptive::builder(Limiter::new("backend", 20)).controller(Aimd::new(5)).build()?;
    /// assert_eq!(backend.limiter().ceiling(), 5);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn controller(mut self, controller: impl Controller + Send + 'static) -> Self {
        self.controller = Some(Box::new(controller));
        self
    }

    /// Sets the lowest value of the cap, whatever the controller wants; 1 if not set.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::{Adaptive, Aimd};
    /// let controller = Aimd::new(1);
    /// let backend = Adaptive::builder(Limiter::new("backend", 20)).controller(controller).floor(3).build()?;
    /// assert_eq!(backend.limiter().ceiling(), 3);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn floor(mut self, floor: usize) -> Self {
        self.floor = floor;
        self
    }

    /// Decides whether it only shows and logs what it would do; no if not set.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::{Adaptive, Aimd};
    /// let controller = Aimd::new(1);
    /// let backend = Adaptive::builder(Limiter::new("backend", 20)).controller(controller).dry_run(true).build()?;
    /// assert_eq!((backend.snapshot().wanted, backend.limiter().ceiling()), (1, 20));
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets for how long nothing is measured and nothing moved; not at all if not set.
    ///
    /// For servers that are slow at first: caches to be filled, connections to be made.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// let minute = std::time::Duration::from_secs(60);
    /// let backend = Adaptive::builder(Limiter::new("backend", 20)).warm_up(minute).build()?;
    /// assert_eq!(backend.snapshot().cap, None);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn warm_up(mut self, time: Duration) -> Self {
        self.warm_up = time;
        self
    }

    /// Takes a cap of the limiter and begins.
    ///
    /// # Errors
    ///
    /// [`TooManyCaps`] if the limiter has eight already.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// let backend = Adaptive::builder(Limiter::new("backend", 20)).build()?;
    /// assert_eq!(backend.snapshot().cap, Some(20));
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn build(self) -> Result<Adaptive, TooManyCaps> {
        let Self { limiter, controller, floor, dry_run, warm_up } = self;
        let controller = controller.unwrap_or_else(|| {
            let max = limiter.throttle().max;
            Box::new(Experiment::new(limiter.ceiling()).max(max).seed(seed()))
        });
        let cap = limiter.cap_owned("adaptive")?;
        let wanted = controller.ceiling();
        let warm_until = nanos(now(&limiter).saturating_add(warm_up));
        if !dry_run && warm_up.is_zero() {
            cap.set(wanted.max(floor));
        }
        Ok(Adaptive {
            shared: Arc::new(Shared {
                limiter,
                cap,
                floor,
                dry_run,
                warm_until: if warm_up.is_zero() { 0 } else { warm_until },
                queue: ConcurrentQueue::bounded(QUEUE),
                due: AtomicU64::new(0),
                running: Mutex::new(Some(Running { controller, decided: 0, moved: 0 })),
                wanted: AtomicUsize::new(wanted),
                samples: AtomicU64::new(0),
                lost: AtomicU64::new(0),
                failed: AtomicBool::new(false),
            }),
        })
    }
}

impl Adaptive {
    /// Lets an [`Experiment`] move the ceiling of a limiter, from where it is.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// let backend = Adaptive::new(Limiter::new("backend", 20))?;
    /// assert_eq!(backend.limiter().caps(), [("adaptive".into(), 20)]);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TooManyCaps`] if the limiter has eight already.
    pub fn new(limiter: impl Into<Handle>) -> Result<Self, TooManyCaps> {
        Self::builder(limiter).build()
    }

    /// Begins to make one with other than the usual settings.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grmgr::Limiter;
    /// use grmgr_adaptive::{Adaptive, Vegas};
    ///
    /// let backend = Adaptive::builder(Limiter::new("backend", 20))
    ///     .controller(Vegas::new(20).max(50))
    ///     .floor(2)
    ///     .warm_up(Duration::from_secs(10))
    ///     .build()?;
    /// assert_eq!(backend.snapshot().cap, None, "it warms up");
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn builder(limiter: impl Into<Handle>) -> Builder {
        Builder {
            limiter: limiter.into(),
            controller: None,
            floor: 1,
            dry_run: false,
            warm_up: Duration::ZERO,
        }
    }

    /// Returns the limiter.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// let backend = Adaptive::new(Limiter::new("backend", 20))?;
    /// assert_eq!(backend.limiter().setting(), 20);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn limiter(&self) -> &Handle {
        &self.shared.limiter
    }

    /// Waits for a permit, as [`Limiter::acquire`](grmgr::Limiter::acquire) does.
    ///
    /// The time in line is not part of the latency.
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line and nothing else.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// # smol::block_on(async {
    /// # let backend = Adaptive::new(Limiter::new("backend", 20))?;
    /// let permit = backend.acquire().await?;
    /// permit.success();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[inline]
    pub async fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        let permit = self.shared.limiter.acquire().await?;
        Ok(MeasuredPermit { permit, adaptive: self, started: self.started() })
    }

    /// Waits for a permit that may outlive this handle: for a task that is spawned.
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line and nothing else.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// # let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
    /// let job = smol::spawn(async move {
    ///     let permit = backend.acquire_owned().await?;
    ///     permit.success();
    ///     Ok::<(), grmgr::AcquireError>(())
    /// });
    /// # smol::block_on(job).unwrap();
    /// ```
    pub async fn acquire_owned(&self) -> Result<OwnedPermit, AcquireError> {
        let permit = self.shared.limiter.acquire_owned().await?;
        Ok(MeasuredPermit { permit, adaptive: self.clone(), started: self.started() })
    }

    /// Waits for a permit by blocking the thread.
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// # let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
    /// backend.acquire_blocking()?.success();
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    pub fn acquire_blocking(&self) -> Result<Permit<'_>, AcquireError> {
        let permit = self.shared.limiter.acquire_blocking()?;
        Ok(MeasuredPermit { permit, adaptive: self, started: self.started() })
    }

    /// Takes a permit without waiting.
    ///
    /// # Errors
    ///
    /// A [`TryAcquireError`].
    ///
    /// ```
    /// # use grmgr::{Limiter, TryAcquireError};
    /// # use grmgr_adaptive::Adaptive;
    /// # let backend = Adaptive::new(Limiter::new("backend", 1)).unwrap();
    /// let permit = backend.try_acquire()?;
    /// assert_eq!(backend.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    /// permit.success();
    /// # Ok::<(), TryAcquireError>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, TryAcquireError> {
        let permit = self.shared.limiter.try_acquire()?;
        Ok(MeasuredPermit { permit, adaptive: self, started: self.started() })
    }

    /// Notes that a request has got a permit, from the limiter itself.
    ///
    /// With [`record`](Self::record) for code that holds permits of the limiter in its own way, as a middleware does.
    ///
    /// ```
    /// use grmgr::Limiter;
    /// use grmgr_adaptive::{Adaptive, Outcome};
    ///
    /// let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
    /// let permit = backend.limiter().try_acquire()?;
    /// let started = backend.started();
    /// // … the request …
    /// drop(permit);
    /// backend.record(started, Outcome::Success);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[inline]
    pub fn started(&self) -> Started {
        let limiter = &self.shared.limiter;
        let in_flight = limiter.in_flight().min(u32::MAX as usize) as u32;
        Started { at: nanos(now(limiter)), in_flight }
    }

    /// Tells the controller how a request ended, now: see [`started`](Self::started).
    ///
    /// The controller may see it a little later, with the next request.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::{Adaptive, Outcome};
    /// # let backend = Adaptive::new(Limiter::new("backend", 20))?;
    /// let started = backend.started();
    /// backend.record(started, Outcome::Success);
    /// assert_eq!(backend.snapshot().samples, 1);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    #[inline]
    pub fn record(&self, started: Started, outcome: Outcome) {
        if outcome == Outcome::Ignored {
            return;
        }
        let shared = &*self.shared;
        let at = nanos(now(&shared.limiter));
        let Started { at: started, in_flight } = started;
        let ended = Ended { started, at, in_flight, overload: outcome.is_overload() };
        if started < shared.warm_until {
            return;
        }
        let full = shared.queue.push(ended).is_err();
        if full {
            shared.lost.fetch_add(1, Relaxed);
        }
        if full || at >= shared.due.load(Relaxed) {
            shared.run(at);
        }
    }

    /// Returns what the controller does at this moment.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// let backend = Adaptive::new(Limiter::new("backend", 20))?;
    /// assert_eq!(backend.snapshot().wanted, 20);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        let shared = &*self.shared;
        Snapshot {
            wanted: shared.wanted.load(Relaxed),
            cap: shared.cap.get(),
            dry_run: shared.dry_run,
            samples: shared.samples.load(Relaxed),
            lost: shared.lost.load(Relaxed),
            failed: shared.failed.load(Relaxed),
        }
    }
}

impl Shared {
    /// Runs the controller, unless another thread does.
    #[cold]
    fn run(&self, at: u64) {
        let mut guard: MutexGuard<'_, _> = match self.running.try_lock() {
            Ok(guard) => guard,
            // A waker has panicked when the cap was moved; the controller is as it was.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.due.store(at.saturating_add(EVERY), Relaxed);
        // No more than there is room for: others may go on bringing some.
        for _ in 0..QUEUE {
            let Ok(ended) = self.queue.pop() else { break };
            let Some(running) = &mut *guard else { continue };
            match catch_unwind(AssertUnwindSafe(|| running.tell(&ended))) {
                Ok(None) => {}
                Ok(Some(to)) => {
                    self.move_to(to);
                    (running.decided, running.moved) = (ended.at, nanos(now(&self.limiter)));
                }
                Err(panic) => {
                    // Before the controller goes, whose drop may panic as well.
                    self.cap.lift();
                    self.failed.store(true, Relaxed);
                    #[cfg(feature = "tracing")]
                    tracing::error!(
                        limiter = self.limiter.name(),
                        "the controller has panicked; its cap is lifted"
                    );
                    let dead = guard.take();
                    let _ = catch_unwind(AssertUnwindSafe(|| drop((dead, panic))));
                }
            }
            self.samples.fetch_add(1, Relaxed);
        }
        // The first of all, after a warm-up.
        if let Some(running) = &*guard
            && !self.dry_run
            && self.cap.get().is_none()
        {
            self.move_to(running.controller.ceiling());
        }
    }

    fn move_to(&self, to: usize) {
        let from = self.wanted.swap(to, Relaxed);
        if !self.dry_run && self.cap.get() != Some(to.max(self.floor)) {
            self.cap.set(to.max(self.floor));
        }
        if from != to {
            #[cfg(feature = "tracing")]
            tracing::info!(
                limiter = self.limiter.name(),
                from,
                to,
                dry_run = self.dry_run,
                "the controller wants another ceiling"
            );
        }
    }
}

impl Running {
    fn tell(&mut self, ended: &Ended) -> Option<usize> {
        let &Ended { mut started, at, in_flight, overload } = ended;
        let latency = Duration::from_nanos(at.saturating_sub(started));
        // Between the decision and the move requests have begun under the ceiling before; to the controller
        // the two are one, so they have begun before both.
        if (self.decided..self.moved).contains(&started) {
            started = self.decided.saturating_sub(1);
        }
        let outcome = if overload { Outcome::Overload } else { Outcome::Success };
        let started = Duration::from_nanos(started);
        let in_flight = in_flight as usize;
        let sample = Sample { started, latency, in_flight, outcome };
        self.controller.observe(Duration::from_nanos(at), sample)
    }
}

/// A permit that knows when it began, of an [`Adaptive`] that it borrows.
pub type Permit<'a> = MeasuredPermit<grmgr::Permit<'a>, &'a Adaptive>;

/// A permit that knows when it began, of an [`Adaptive`] that it keeps alive.
pub type OwnedPermit = MeasuredPermit<grmgr::OwnedPermit, Adaptive>;

/// A permit that knows when it began. Used under its names [`Permit`] and [`OwnedPermit`].
///
/// Dropped without a word, the request is ignored: also if it was cancelled, or has panicked.
///
/// ```
/// # use grmgr::Limiter;
/// # use grmgr_adaptive::Adaptive;
/// let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
/// let permit = backend.try_acquire()?;
/// assert_eq!(backend.limiter().in_flight(), 1);
/// permit.success();
/// assert_eq!(backend.limiter().in_flight(), 0);
/// # Ok::<(), grmgr::TryAcquireError>(())
/// ```
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct MeasuredPermit<P, A: Borrow<Adaptive>> {
    permit: P,
    adaptive: A,
    started: Started,
}

impl<P, A: Borrow<Adaptive>> MeasuredPermit<P, A> {
    /// Gives the permit back: the request has done its work.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// # let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
    /// backend.try_acquire()?.success();
    /// assert_eq!(backend.limiter().in_flight(), 0);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[inline]
    pub fn success(self) {
        self.end(Outcome::Success);
    }

    /// Gives the permit back: the server has too much to do.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// # let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
    /// backend.try_acquire()?.overload();
    /// assert_eq!(backend.limiter().in_flight(), 0);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[inline]
    pub fn overload(self) {
        self.end(Outcome::Overload);
    }

    /// Gives the permit back: the request says nothing about the server. The same as dropping it.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::Adaptive;
    /// # let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
    /// backend.try_acquire()?.ignore();
    /// assert_eq!(backend.limiter().in_flight(), 0);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[inline]
    pub fn ignore(self) {
        self.end(Outcome::Ignored);
    }

    /// Gives the permit back with an outcome that was worked out.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_adaptive::{Adaptive, Outcome};
    /// # let backend = Adaptive::new(Limiter::new("backend", 20)).unwrap();
    /// # let status = 200;
    /// let permit = backend.try_acquire()?;
    /// permit.end(if status == 503 { Outcome::Overload } else { Outcome::Success });
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[inline]
    pub fn end(self, outcome: Outcome) {
        let Self { permit, adaptive, started } = self;
        // The next request first: it need not wait for the controller.
        drop(permit);
        adaptive.borrow().record(started, outcome);
    }
}

impl<P, A: Borrow<Adaptive>> fmt::Debug for MeasuredPermit<P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("limiter", &self.adaptive.borrow().limiter().name())
            .field("started", &Duration::from_nanos(self.started.at))
            .finish()
    }
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adaptive")
            .field("limiter", &self.limiter().name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limiter", &self.limiter.name())
            .field("floor", &self.floor)
            .field("dry_run", &self.dry_run)
            .field("warm_up", &self.warm_up)
            .finish_non_exhaustive()
    }
}

/// The time by the limiter's clock, or by the system's if it has none.
#[inline]
fn now(limiter: &Handle) -> Duration {
    limiter.now().unwrap_or_else(|| SystemClock.now())
}

#[inline]
fn nanos(time: Duration) -> u64 {
    time.as_nanos().min(u128::from(u64::MAX)) as u64
}

/// Another one in each process, and for each limiter.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
