//! Drives a limiter through a sequence of steps, side by side with the reference.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use grmgr::{AcquireError, Adjustment, Cap, Limiter, ManualClock, TryAcquireError, Wait};

use crate::common::Wakes;
use crate::handles::{Guard, Request, assert_forgotten};
use crate::op::Op;
use crate::reference::{Adjusted, Config, Id, Newcomer, Polled, Reference};

struct Task<'a> {
    id: Id,
    n: usize,
    request: Request<'a>,
    /// Of its last poll: it alone has to be woken.
    wakes: Arc<Wakes>,
    in_line: bool,
}

struct Waiting<'a> {
    wait: Wait<'a>,
    wakes: Arc<Wakes>,
    polled: bool,
    /// The limiter has been idle since it was polled first.
    latched: bool,
}

pub(crate) struct Driver<'a> {
    limiter: &'a Arc<Limiter>,
    clock: ManualClock,
    reference: Reference,
    config: Config,
    tasks: Vec<Task<'a>>,
    guards: Vec<Guard<'a>>,
    forgotten: usize,
    waits: Vec<Waiting<'a>>,
    caps: Vec<Cap<'a>>,
    next_id: Id,
}

/// Runs a sequence from a new limiter to one at rest. `serve`: in the end all are served;
/// otherwise everything is dropped where it stands.
pub(crate) fn run(config: Config, ops: &[Op], serve: bool) {
    let clock = ManualClock::new();
    let mut builder = Limiter::builder("reference")
        .ceiling(config.ceiling)
        .min(config.min)
        .max(config.max)
        .up(config.up)
        .down(config.down)
        .hold_up(Duration::from_nanos(config.hold_up))
        .hold_down(Duration::from_nanos(config.hold_down))
        .patience(config.patience)
        .clock(clock.clone());
    if let Some(max_waiting) = config.max_waiting {
        builder = builder.max_waiting(max_waiting);
    }
    let limiter = Arc::new(builder.build().expect("a valid configuration"));
    let mut driver = Driver {
        limiter: &limiter,
        clock,
        reference: Reference::new(config),
        config,
        tasks: Vec::new(),
        guards: Vec::new(),
        forgotten: 0,
        waits: Vec::new(),
        caps: Vec::new(),
        next_id: 0,
    };
    for &op in ops {
        driver.step(op);
    }
    if serve {
        driver.serve_all();
    }
    driver.come_to_rest();
}

impl<'a> Driver<'a> {
    fn step(&mut self, op: Op) {
        self.reference.begin();
        self.apply(op);
        self.check();
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Try(n) => self.try_acquire(n),
            Op::Make(n) => {
                self.make(n);
            }
            Op::Enter(n) => {
                let at = self.make(n);
                self.poll(at);
            }
            Op::Poll(i) => {
                if let Some(at) = choose(i, self.tasks.len()) {
                    self.poll(at);
                }
            }
            Op::Run(i) => {
                let woken = self.woken();
                if let Some(at) = choose(i, woken.len()) {
                    self.poll(woken[at]);
                }
            }
            Op::DropRequest(i) => {
                if let Some(at) = choose(i, self.tasks.len()) {
                    let task = self.tasks.swap_remove(at);
                    drop(task.request);
                    if task.in_line {
                        self.reference.cancelled(task.id);
                    }
                    assert_forgotten(&task.wakes);
                }
            }
            Op::DropPermit(i) => {
                if let Some(at) = choose(i, self.guards.len()) {
                    let guard = self.guards.swap_remove(at);
                    self.reference.released(guard.count());
                    drop(guard);
                }
            }
            Op::Forget(i) => {
                if let Some(at) = choose(i, self.guards.len()) {
                    let guard = self.guards.swap_remove(at);
                    self.forgotten += guard.count();
                    guard.forget();
                }
            }
            Op::Done => self.done(),
            Op::Split(i, n) => {
                if let Some(at) = choose(i, self.guards.len()) {
                    let guard = &mut self.guards[at];
                    let count = guard.count();
                    let part = guard.split(n);
                    assert_eq!(part.is_some(), n <= count);
                    assert_eq!(guard.count() + part.as_ref().map_or(0, Guard::count), count);
                    self.guards.extend(part);
                }
            }
            Op::Merge(i, j) => self.merge(i, j),
            Op::Up => assert_eq!(told(self.limiter.up()), self.reference.up(), "I7, I8"),
            Op::Down => assert_eq!(told(self.limiter.down()), self.reference.down(), "I7, I8"),
            Op::SetCeiling(to) => {
                let result = told(self.limiter.set_ceiling(to));
                assert_eq!(result, self.reference.set_ceiling(to), "I7, I8");
            }
            Op::NewCap => {
                if self.caps.len() < 8 {
                    self.caps.push(self.limiter.cap("test").expect("there may be 8"));
                    self.reference.cap();
                } else {
                    assert_eq!(self.limiter.cap("test").unwrap_err().causes.len(), 8);
                }
            }
            Op::SetCap(i, to) => {
                if let Some(at) = choose(i, self.caps.len()) {
                    let result = told(self.caps[at].set(to));
                    assert_eq!(result, self.reference.set_cap(at, to), "I15");
                }
            }
            Op::LiftCap(i) => {
                if let Some(at) = choose(i, self.caps.len()) {
                    self.caps[at].lift();
                    self.reference.set_cap(at, Limiter::MAX_CEILING);
                }
            }
            Op::DropCap(i) => {
                if let Some(at) = choose(i, self.caps.len()) {
                    drop(self.caps.remove(at));
                    self.reference.drop_cap(at);
                }
            }
            Op::Pause => {
                self.limiter.pause();
                self.reference.paused = true;
            }
            Op::Resume => {
                self.limiter.resume();
                self.reference.paused = false;
            }
            Op::Advance(nanos) => {
                let by = Duration::from_nanos(nanos);
                self.clock.advance(by);
                self.reference.advance(by);
            }
            Op::Close => {
                self.limiter.close();
                self.reference.closed = true;
            }
            Op::Wait => {
                let (wait, wakes) = (self.limiter.wait(), Arc::default());
                self.waits.push(Waiting { wait, wakes, polled: false, latched: false });
            }
            Op::PollWait(i) => {
                if let Some(at) = choose(i, self.waits.len()) {
                    self.poll_wait(at);
                }
            }
            Op::DropWait(i) => {
                if let Some(at) = choose(i, self.waits.len()) {
                    let waiting = self.waits.swap_remove(at);
                    drop(waiting.wait);
                    assert_forgotten(&waiting.wakes);
                }
            }
        }
    }

    fn make(&mut self, n: usize) -> usize {
        let id = self.next_id;
        self.next_id += 1;
        let request = if id.is_multiple_of(2) {
            Request::Borrowed(self.limiter.acquire_many(n))
        } else {
            Request::Owned(self.limiter.acquire_many_owned(n))
        };
        self.tasks.push(Task { id, n, request, wakes: Arc::default(), in_line: false });
        self.tasks.len() - 1
    }

    /// The requests that have been woken, in no order.
    fn woken(&self) -> Vec<usize> {
        (0..self.tasks.len()).filter(|&at| self.tasks[at].wakes.count() > 0).collect()
    }

    fn try_acquire(&mut self, n: usize) {
        let expected = self.reference.newcomer(n);
        let result = if self.next_id.is_multiple_of(2) {
            self.limiter.try_acquire_many(n).map(Guard::Borrowed)
        } else {
            self.limiter.try_acquire_many_owned(n).map(Guard::Owned)
        };
        self.next_id += 1;
        match result {
            Ok(guard) => {
                assert!(matches!(expected, Newcomer::Granted | Newcomer::Either), "{expected:?}");
                assert_eq!(guard.count(), n);
                self.reference.newcomer_granted(n);
                self.guards.push(guard);
            }
            Err(TryAcquireError::Closed) => assert_eq!(expected, Newcomer::Closed),
            Err(TryAcquireError::ExceedsMax { requested, max }) => {
                assert_eq!(expected, Newcomer::ExceedsMax);
                assert_eq!((requested, max), (n, self.config.max));
            }
            Err(TryAcquireError::NoPermits) => {
                assert!(matches!(expected, Newcomer::Short | Newcomer::Either), "{expected:?}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Polls a request, with a waker it has not seen before.
    fn poll(&mut self, at: usize) {
        let task = &mut self.tasks[at];
        let (id, n, in_line) = (task.id, task.n, task.in_line);
        let old = std::mem::take(&mut task.wakes);
        let waker = Waker::from(task.wakes.clone());
        let polled = task.request.poll(&mut Context::from_waker(&waker));
        drop(waker);
        task.in_line = polled.is_pending();
        assert_forgotten(&old);

        let result = match &polled {
            Poll::Pending => Polled::Pending,
            Poll::Ready(Ok(_)) => Polled::Granted,
            Poll::Ready(Err(_)) => Polled::Closed,
        };
        if in_line {
            self.reference.polled(id, result, self.limiter.in_flight());
        } else {
            self.first_poll(id, n, &polled);
        }
        match polled {
            Poll::Pending => return,
            Poll::Ready(Ok(guard)) => {
                assert_eq!(guard.count(), n);
                self.guards.push(guard);
            }
            Poll::Ready(Err(error)) => assert!(!in_line || error == AcquireError::Closed),
        }
        let task = self.tasks.swap_remove(at);
        drop(task.request);
        assert_forgotten(&task.wakes);
    }

    fn first_poll(&mut self, id: Id, n: usize, polled: &Poll<Result<Guard<'_>, AcquireError>>) {
        let expected = self.reference.newcomer(n);
        match polled {
            Poll::Ready(Ok(_)) => {
                assert!(
                    matches!(expected, Newcomer::Granted | Newcomer::Either)
                        || expected == Newcomer::Short
                            && !self.reference.queue_is_full()
                            && self.reference.would_be_called_at_once(n),
                    "{expected:?}"
                );
                self.reference.newcomer_granted(n);
            }
            Poll::Ready(Err(AcquireError::Closed)) => assert_eq!(expected, Newcomer::Closed),
            Poll::Ready(Err(AcquireError::ExceedsMax { requested, max })) => {
                assert_eq!(expected, Newcomer::ExceedsMax);
                assert_eq!((*requested, *max), (n, self.config.max));
            }
            Poll::Ready(Err(AcquireError::QueueFull { max_waiting })) => {
                assert!(matches!(expected, Newcomer::Short | Newcomer::Either), "{expected:?}");
                assert!(self.reference.queue_is_full());
                assert_eq!(Some(*max_waiting), self.config.max_waiting);
            }
            Poll::Ready(Err(other)) => panic!("{other:?}"),
            Poll::Pending => {
                assert!(matches!(expected, Newcomer::Short | Newcomer::Either), "{expected:?}");
                assert!(!self.reference.queue_is_full());
                self.reference.entered(id, n);
            }
        }
    }

    fn done(&mut self) {
        if self.forgotten > 0 {
            self.limiter.done();
            self.forgotten -= 1;
            self.reference.released(1);
        } else {
            // I14: loud, and nothing changes.
            let limiter = self.limiter;
            let result = catch_unwind(AssertUnwindSafe(|| limiter.done()));
            assert!(result.is_err(), "done() without a forgotten permit did not panic (I14)");
        }
    }

    fn merge(&mut self, i: usize, j: usize) {
        let Some(from) = choose(i, self.guards.len()) else {
            return;
        };
        let other = self.guards.swap_remove(from);
        let other_count = other.count();
        if let Some(into) = choose(j, self.guards.len()) {
            let count = self.guards[into].count();
            match (&mut self.guards[into], other) {
                (Guard::Borrowed(guard), Guard::Borrowed(other)) => guard.merge(other),
                (Guard::Owned(guard), Guard::Owned(other)) => guard.merge(other),
                (_, other) => return self.guards.push(other),
            }
            assert_eq!(self.guards[into].count(), count + other_count);
        } else {
            self.guards.push(other);
        }
    }

    fn poll_wait(&mut self, at: usize) {
        let idle = self.reference.is_idle();
        let waiting = &mut self.waits[at];
        waiting.wakes = Arc::default();
        let waker = Waker::from(waiting.wakes.clone());
        let polled = Pin::new(&mut waiting.wait).poll(&mut Context::from_waker(&waker));
        drop(waker);
        let due = if waiting.polled { waiting.latched } else { idle };
        assert_eq!(polled.is_ready(), due, "I11");
        waiting.polled = true;
        if polled.is_ready() {
            let waiting = self.waits.swap_remove(at);
            drop(waiting.wait);
            assert_forgotten(&waiting.wakes);
        }
    }

    /// Compares everything that can be seen.
    fn check(&mut self) {
        let (limiter, tasks) = (self.limiter, &self.tasks);
        let in_flight = limiter.in_flight();
        self.reference.settle(in_flight, |id| {
            tasks.iter().find(|task| task.id == id).expect("it waits").wakes.count() > 0
        });
        let reference = &self.reference;
        let snapshot = limiter.snapshot();
        assert_eq!(snapshot.in_flight, reference.in_flight(), "I2");
        assert_eq!(snapshot.waiting, reference.waiting());
        assert_eq!(snapshot.ceiling, reference.ceiling(), "I15");
        assert_eq!(snapshot.setting, reference.setting);
        let mut caps: Vec<_> = snapshot.caps.iter().map(|(_, at)| *at).collect();
        let mut expected: Vec<_> = reference.caps_set().collect();
        caps.sort_unstable();
        expected.sort_unstable();
        assert_eq!(caps, expected, "I15");
        assert_eq!(snapshot.paused, reference.paused);
        assert_eq!(snapshot.closed, reference.closed);
        assert_eq!(snapshot.hold_up_remaining, reference.hold_up_remaining(), "I7");
        assert_eq!(snapshot.hold_down_remaining, reference.hold_down_remaining(), "I7");
        assert!((self.config.min..=self.config.max).contains(&snapshot.setting), "I8");
        assert_eq!(limiter.in_flight(), snapshot.in_flight);
        assert_eq!(limiter.waiting(), snapshot.waiting);
        assert_eq!(limiter.ceiling(), snapshot.ceiling);
        assert_eq!(limiter.available(), snapshot.ceiling.saturating_sub(snapshot.in_flight));
        assert_eq!(limiter.is_paused(), snapshot.paused);
        assert_eq!(limiter.is_closed(), snapshot.closed);
        for task in &self.tasks {
            assert!(task.in_line || task.wakes.count() == 0, "woken without having waited");
        }
        let idle = self.reference.is_idle();
        for waiting in &mut self.waits {
            waiting.latched |= waiting.polled && idle;
            assert_eq!(waiting.wakes.count() > 0, waiting.latched, "I11");
        }
    }

    /// I3, I4: with permits to be had, every request that is polled is served.
    fn serve_all(&mut self) {
        self.step(Op::Resume);
        self.step(Op::SetCeiling(self.config.max));
        while !self.caps.is_empty() {
            self.step(Op::DropCap(0));
        }
        while self.forgotten > 0 {
            self.step(Op::Done);
        }
        loop {
            while !self.guards.is_empty() {
                self.step(Op::DropPermit(0));
            }
            if let Some(&at) = self.woken().first() {
                self.step(Op::Poll(at));
            } else if let Some(at) = self.tasks.iter().position(|task| !task.in_line) {
                self.step(Op::Poll(at));
            } else {
                break;
            }
        }
        assert!(self.tasks.is_empty(), "a request was not served (I3)");
    }

    /// I2, I10: drops everything, and finds the limiter as good as new.
    fn come_to_rest(&mut self) {
        while !self.tasks.is_empty() {
            self.step(Op::DropRequest(self.tasks.len() / 2));
        }
        while !self.guards.is_empty() {
            self.step(Op::DropPermit(self.guards.len() / 2));
        }
        while self.forgotten > 0 {
            self.step(Op::Done);
        }
        self.step(Op::Resume);
        while !self.caps.is_empty() {
            self.step(Op::DropCap(self.caps.len() / 2));
        }
        self.step(Op::Wait);
        while !self.waits.is_empty() {
            self.step(Op::PollWait(self.waits.len() - 1));
        }
        assert_eq!((self.limiter.in_flight(), self.limiter.waiting()), (0, 0));
        for _ in 0..self.limiter.ceiling() {
            self.step(Op::Try(1));
        }
        let expected = if self.reference.closed { 0 } else { self.limiter.ceiling() };
        assert_eq!(self.guards.len(), expected);
        self.step(Op::Try(1));
        assert_eq!(self.guards.len(), expected);
        while !self.guards.is_empty() {
            self.step(Op::DropPermit(0));
        }
    }
}

fn choose(i: usize, len: usize) -> Option<usize> {
    (len > 0).then(|| i % len)
}

fn told(result: Adjustment) -> Adjusted {
    match result {
        Adjustment::Changed { from, to } => Adjusted::Changed { from, to },
        Adjustment::Held { remaining } => Adjusted::Held { remaining },
        Adjustment::Unchanged { ceiling } => Adjusted::Unchanged { ceiling },
        other => panic!("{other:?}"),
    }
}
