//! Members driven by hand: the steps of their threads, a store in memory, clocks that stand still.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grmgr::{Handle, Limiter, ManualClock, OwnedPermit};

use crate::core::Core;
use crate::{
    Answer, Member, MemoryStore, Request, ShareStore, StartError, State, StoreError, Warning, Why,
};

const TTL: Duration = Duration::from_secs(15);
const LAG: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

/// A pool in memory. Its clock is the server's and that of all its limiters.
struct Pool {
    clock: ManualClock,
    store: MemoryStore,
    total: usize,
    configure: fn(crate::Builder) -> crate::Builder,
}

/// A store that can be cut off, and keeps what it was asked and has answered.
struct Line {
    store: MemoryStore,
    cut: Arc<AtomicBool>,
    /// Takes requests, and loses the answers.
    deaf: Arc<AtomicBool>,
    /// Moves the clock while the answer is on its way.
    delay: Arc<Mutex<Option<(ManualClock, Duration)>>>,
}

impl ShareStore for Line {
    fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError> {
        if self.cut.load(SeqCst) {
            return Err(StoreError::Unreachable("cut".into()));
        }
        let answer = self.store.refresh(request);
        if let Some((clock, by)) = &*self.delay.lock().unwrap() {
            clock.advance(*by);
        }
        if self.deaf.load(SeqCst) {
            return Err(StoreError::Unreachable("deaf".into()));
        }
        answer
    }
}

struct Driven {
    core: Core,
    limiter: Handle,
    cut: Arc<AtomicBool>,
    deaf: Arc<AtomicBool>,
    delay: Arc<Mutex<Option<(ManualClock, Duration)>>>,
}

impl Pool {
    fn new(total: usize) -> Self {
        let clock = ManualClock::new();
        let store = MemoryStore::with_clock(clock.clone());
        Self { clock, store, total, configure: |builder| builder }
    }

    /// One whose first quiet time is over.
    fn settled(total: usize) -> Self {
        let pool = Self::new(total);
        pool.settle();
        pool
    }

    fn settle(&self) {
        let mut first = self.join();
        first.core.tick();
        for _ in 0..19 {
            self.pass(SECOND, &mut [&mut first]);
        }
        drop(first.core.leave());
    }

    fn limiter(&self) -> Handle {
        let limiter = Limiter::builder("db").ceiling(100).run_alone(false);
        limiter.clock(self.clock.clone()).build().unwrap().into()
    }

    fn join(&self) -> Driven {
        let limiter = self.limiter();
        let (cut, deaf, delay) = Default::default();
        let line = Line {
            store: self.store.clone(),
            cut: Arc::clone(&cut),
            deaf: Arc::clone(&deaf),
            delay: Arc::clone(&delay),
        };
        let builder = Member::builder(limiter.clone()).store(line).total(self.total).any_clock();
        let (core, _) = (self.configure)(builder.max_lag(LAG)).core().unwrap();
        Driven { core, limiter, cut, deaf, delay }
    }

    /// Lets time pass while each of them has work for so many permits, none of it for long.
    fn busy(&self, time: Duration, members: &mut [(&mut Driven, usize)]) {
        let step = Duration::from_millis(250);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.clock.advance(step);
            for (member, wanted) in &mut *members {
                let _work = demand(&member.limiter, *wanted);
                member.core.tick();
            }
        }
    }

    /// Lets time pass in steps in which all of them may act.
    fn pass(&self, time: Duration, members: &mut [&mut Driven]) {
        let step = Duration::from_millis(250);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.clock.advance(step);
            for member in &mut *members {
                member.core.tick();
            }
        }
    }
}

impl Driven {
    fn state(&self) -> State {
        self.core.board().state(self.limiter.now().unwrap())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.core.board().warnings()
    }

    /// Asks for as many permits as it can get, in requests of one that wait for the rest.
    fn fill(&self) -> Vec<OwnedPermit> {
        std::iter::from_fn(|| self.limiter.try_acquire_owned().ok()).collect()
    }
}

/// So many requests, until it is dropped: those that have a permit and those that wait for one.
fn demand(limiter: &Handle, n: usize) -> impl Sized + use<> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let poll = |mut request: std::pin::Pin<Box<grmgr::AcquireOwned>>| {
        let permit = request.as_mut().poll(&mut context);
        (permit, request)
    };
    (0..n).map(|_| Box::pin(limiter.acquire_owned())).map(poll).collect::<Vec<_>>()
}

#[test]
fn the_first_start_of_a_pool_grants_nothing_for_ttl_and_lag() {
    let pool = Pool::new(12);
    let mut a = pool.join();
    let _waiting = demand(&a.limiter, 20);
    a.core.tick();
    for _ in 0..(4 * (TTL + LAG).as_secs() - 1) {
        pool.clock.advance(SECOND / 4);
        a.core.tick();
        assert_eq!(a.limiter.ceiling(), 0);
        assert_eq!(a.limiter.snapshot().bound_by(), Some("cluster"));
    }
    pool.pass(2 * SECOND, &mut [&mut a]);
    assert_eq!(a.limiter.ceiling(), 12);
}

#[test]
fn o1_shares_sum_up_to_no_more_than_the_total_whoever_comes_and_goes() {
    let pool = Pool::settled(12);
    let mut members: Vec<Driven> = Vec::new();
    let mut random = crate::random::Random::new();
    let mut most = 0;
    for _ in 0..2_000 {
        match random.next() % 20 {
            0 if members.len() < 8 => members.push(pool.join()),
            1 if !members.is_empty() => drop(members.swap_remove(0).core.leave()),
            // It is gone without a word.
            2 if members.len() > 4 => std::mem::forget(members.swap_remove(0)),
            _ => {}
        }
        pool.clock.advance(Duration::from_millis(random.next() % 500));
        for member in &mut members {
            let _waiting = demand(&member.limiter, (random.next() % 20) as usize);
            if !random.next().is_multiple_of(3) {
                member.core.tick();
            }
        }
        let in_force: usize = members.iter().map(|member| member.limiter.ceiling()).sum();
        assert!(in_force <= 12, "{in_force}");
        most = most.max(in_force);
    }
    assert_eq!(most, 12);
}

#[test]
fn o2_nothing_is_granted_after_the_lease_that_runs_from_when_it_was_asked_for() {
    let pool = Pool::settled(12);
    let mut a = pool.join();
    // The answer takes three seconds, which are part of the lease.
    *a.delay.lock().unwrap() = Some((pool.clock.clone(), 3 * SECOND));
    let waiting = demand(&a.limiter, 12);
    a.core.tick();
    drop(waiting);
    *a.delay.lock().unwrap() = None;
    assert!(a.limiter.try_acquire().is_ok());
    // 15 s less the margin, of which 3 s are gone. Nobody ticks: the cap ends by itself.
    pool.clock.advance(Duration::from_millis(13_500 - 3_000 - 1));
    assert!(a.limiter.try_acquire().is_ok());
    pool.clock.advance(Duration::from_millis(1));
    assert!(a.limiter.try_acquire().is_err());
}

#[test]
fn o2_an_answer_that_comes_when_its_lease_is_over_gives_nothing() {
    let pool = Pool::settled(12);
    let mut a = pool.join();
    *a.delay.lock().unwrap() = Some((pool.clock.clone(), 14 * SECOND));
    a.core.tick();
    assert_eq!(a.limiter.ceiling(), 0);
    assert!(matches!(a.state(), State::Alone { why: Why::Store(StoreError::Late), .. }));
}

#[test]
fn the_share_is_at_the_floor_before_the_lease_ends_when_the_store_is_lost() {
    let mut pool = Pool::settled(12);
    pool.configure = |builder| builder.floor(2).max_members(2);
    let mut a = pool.join();
    pool.busy(6 * SECOND, &mut [(&mut a, 12)]);
    assert_eq!(a.limiter.ceiling(), 10);
    a.cut.store(true, SeqCst);
    let mut seen = vec![10];
    let begin = a.limiter.now().unwrap();
    while a.limiter.ceiling() > 2 {
        pool.pass(SECOND / 4, &mut [&mut a]);
        seen.push(a.limiter.ceiling());
        assert!(matches!(a.state(), State::Leased { .. }), "{}", a.state());
    }
    assert!(a.limiter.now().unwrap() - begin < TTL);
    assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    // In steps, not at once.
    seen.dedup();
    assert!(seen.len() > 4, "{seen:?}");
    pool.pass(5 * SECOND, &mut [&mut a]);
    assert!(matches!(a.state(), State::Alone { floor: 2, .. }), "{}", a.state());
    // The store is back: a share again within two refreshes.
    a.cut.store(false, SeqCst);
    pool.busy(10 * SECOND, &mut [(&mut a, 12)]);
    assert_eq!(a.limiter.ceiling(), 10);
}

#[test]
fn o3_a_store_that_has_lost_everything_lets_nobody_grow_for_ttl_and_lag() {
    let mut pool = Pool::settled(12);
    let [mut a, mut b] = [pool.join(), pool.join()];
    pool.busy(20 * SECOND, &mut [(&mut a, 4), (&mut b, 6)]);
    assert_eq!([a.limiter.ceiling(), b.limiter.ceiling()], [4, 6]);
    // FLUSHALL, so to speak: the members' lines lead to a new store.
    pool.store = MemoryStore::with_clock(pool.clock.clone());
    for member in [&mut a, &mut b] {
        member.core.replace_store(Box::new(pool.store.clone()));
    }
    let mut c = pool.join();
    c.core.tick();
    for _ in 0..4 * (TTL + LAG).as_secs() - 1 {
        pool.busy(SECOND / 4, &mut [(&mut a, 12), (&mut b, 12), (&mut c, 12)]);
        assert!(a.limiter.ceiling() <= 4 && b.limiter.ceiling() <= 6);
        assert_eq!(c.limiter.ceiling(), 0);
    }
    assert_eq!([a.limiter.ceiling(), b.limiter.ceiling()], [4, 6], "shares outlast the loss");
    pool.busy(20 * SECOND, &mut [(&mut a, 12), (&mut b, 12), (&mut c, 12)]);
    assert_eq!([a.limiter.ceiling(), b.limiter.ceiling(), c.limiter.ceiling()], [4, 4, 4]);
}

#[test]
fn o5_a_server_clock_that_jumps_ahead_gives_nothing_away() {
    let mut pool = Pool::settled(12);
    // A clock of the server's own, to jump.
    let server = ManualClock::new();
    pool.store = MemoryStore::with_clock(server.clone());
    let [mut a, mut b] = [pool.join(), pool.join()];
    let _waiting = demand(&a.limiter, 12);
    for _ in 0..4 * 25 {
        server.advance(SECOND / 4);
        pool.pass(SECOND / 4, &mut [&mut a]);
    }
    assert_eq!(a.limiter.ceiling(), 12);
    server.advance(Duration::from_secs(3600));
    let _more = demand(&b.limiter, 12);
    for _ in 0..4 * 10 {
        server.advance(SECOND / 4);
        pool.pass(SECOND / 4, &mut [&mut b, &mut a]);
        assert!(a.limiter.ceiling() + b.limiter.ceiling() <= 12);
    }
    assert!(matches!(a.state(), State::Leased { share: 12, epoch: 2, .. }), "{:?}", a.state());
}

#[test]
fn o6_lowering_cancels_nobody_and_what_runs_is_not_granted_again() {
    let pool = Pool::settled(12);
    let [mut a, mut b] = [pool.join(), pool.join()];
    let waiting = demand(&a.limiter, 12);
    a.core.tick();
    drop(waiting);
    let mut running = a.fill();
    assert_eq!(running.len(), 12);
    let _waiting = demand(&b.limiter, 12);
    pool.pass(12 * SECOND, &mut [&mut a, &mut b]);
    // Its share has shrunk; its work goes on, and the other gets what has come back.
    assert_eq!((a.limiter.ceiling(), a.limiter.in_flight(), b.limiter.ceiling()), (6, 12, 0));
    running.truncate(10);
    pool.pass(6 * SECOND, &mut [&mut a, &mut b]);
    assert_eq!(b.limiter.ceiling(), 2);
    running.clear();
    pool.pass(6 * SECOND, &mut [&mut a, &mut b]);
    assert!(b.limiter.ceiling() >= 6, "{}", b.limiter.ceiling());
}

#[test]
fn o6_max_hold_keeps_what_a_lapsed_member_had() {
    let mut pool = Pool::settled(12);
    pool.configure = |builder| builder.max_hold(Duration::from_secs(30));
    let [mut a, mut b] = [pool.join(), pool.join()];
    let waiting = demand(&a.limiter, 8);
    pool.pass(SECOND, &mut [&mut a]);
    drop(waiting);
    assert_eq!(a.limiter.ceiling(), 8);
    let _running = a.fill();
    // It is killed. Its work, at a database for instance, goes on.
    let _waiting = demand(&b.limiter, 12);
    pool.pass(TTL + 20 * SECOND, &mut [&mut b]);
    assert_eq!(b.limiter.ceiling(), 4);
    pool.pass(20 * SECOND, &mut [&mut b]);
    assert_eq!(b.limiter.ceiling(), 12);
}

#[test]
fn o7_a_limiter_on_which_requests_run_alone_is_refused() {
    let db = Limiter::builder("db").ceiling(9).clock(crate::LeaseClock).build().unwrap();
    let error = Member::builder(db).store(MemoryStore::new()).total(9).start().unwrap_err();
    assert!(matches!(error, StartError::RunsAlone));
}

#[test]
fn o7_a_request_above_the_share_waits_until_the_share_has_room() {
    let pool = Pool::settled(12);
    let [mut a, mut b] = [pool.join(), pool.join()];
    pool.busy(20 * SECOND, &mut [(&mut a, 12), (&mut b, 12)]);
    assert_eq!((a.limiter.ceiling(), b.limiter.ceiling()), (6, 6));
    let mut large = Box::pin(a.limiter.acquire_many_owned(10));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(large.as_mut().poll(&mut context).is_pending());
    // What it needs cannot be seen from outside: the member asks for more until it is served.
    pool.pass(20 * SECOND, &mut [&mut a, &mut b]);
    assert!(large.as_mut().poll(&mut context).is_ready());
    assert!(a.limiter.ceiling() >= 10);
}

#[test]
fn o8_a_member_that_is_woken_after_its_lease_grants_nothing() {
    let pool = Pool::settled(12);
    let mut a = pool.join();
    let waiting = demand(&a.limiter, 12);
    a.core.tick();
    drop(waiting);
    assert_eq!(a.fill().len(), 12);
    // Stopped for an hour. Whoever asks first, before the member has done anything:
    pool.clock.advance(Duration::from_secs(3600));
    assert!(a.limiter.try_acquire().is_err());
    assert!(
        matches!(a.state(), State::Alone { why: Why::Lapsed, floor: 0, .. }),
        "{:?}",
        a.state()
    );
}

#[test]
fn what_is_in_force_while_an_answer_is_lost_is_not_granted_again() {
    let pool = Pool::settled(12);
    let [mut a, mut b] = [pool.join(), pool.join()];
    pool.busy(SECOND, &mut [(&mut a, 12)]);
    assert_eq!(a.limiter.ceiling(), 12);
    pool.busy(SECOND, &mut [(&mut b, 12)]);
    // The server takes note that it should shrink, and it does not hear of it.
    a.deaf.store(true, SeqCst);
    for _ in 0..12 * 4 {
        pool.busy(SECOND / 4, &mut [(&mut a, 12), (&mut b, 12)]);
        assert!(a.limiter.ceiling() + b.limiter.ceiling() <= 12);
    }
    assert!(b.limiter.ceiling() > 0, "what the ramp has given up is free");
}

#[test]
fn demand_that_has_doubled_is_met_at_once() {
    let pool = Pool::settled(12);
    let mut a = pool.join();
    pool.pass(20 * SECOND, &mut [&mut a]);
    assert_eq!(a.limiter.ceiling(), 1, "one is kept at hand");
    let _work = demand(&a.limiter, 10);
    // A tenth of a refresh may have to pass since the last one.
    pool.pass(SECOND / 2, &mut [&mut a]);
    assert_eq!(a.limiter.ceiling(), 10);
}

#[test]
fn a_shorter_lease_of_the_pool_is_refreshed_more_often() {
    let mut pool = Pool::settled(12);
    let mut a = pool.join();
    pool.busy(SECOND, &mut [(&mut a, 12)]);
    pool.configure = |builder| builder.ttl(3 * SECOND).refresh(SECOND);
    let mut b = pool.join();
    pool.busy(20 * SECOND, &mut [(&mut a, 12), (&mut b, 12)]);
    for _ in 0..40 {
        pool.busy(SECOND / 4, &mut [(&mut a, 12), (&mut b, 12)]);
        assert_eq!((a.limiter.ceiling(), b.limiter.ceiling()), (6, 6));
    }
}

#[test]
fn a_member_that_comes_is_given_its_part_within_two_refreshes() {
    let pool = Pool::settled(12);
    let mut a = pool.join();
    pool.busy(20 * SECOND, &mut [(&mut a, 12)]);
    assert_eq!(a.limiter.ceiling(), 12);
    let mut b = pool.join();
    pool.busy(11 * SECOND, &mut [(&mut a, 12), (&mut b, 12)]);
    assert_eq!((a.limiter.ceiling(), b.limiter.ceiling()), (6, 6));
}

#[test]
fn the_share_of_a_member_that_is_gone_is_back_after_ttl_and_a_refresh() {
    let pool = Pool::settled(12);
    let [mut a, mut b] = [pool.join(), pool.join()];
    pool.busy(20 * SECOND, &mut [(&mut a, 12), (&mut b, 12)]);
    assert_eq!((a.limiter.ceiling(), b.limiter.ceiling()), (6, 6));
    // The first is gone without a word.
    pool.busy(TTL + 6 * SECOND, &mut [(&mut b, 12)]);
    assert_eq!(b.limiter.ceiling(), 12);
}

#[test]
fn a_member_that_leaves_grants_nothing_and_its_share_is_free_at_once() {
    let mut pool = Pool::settled(12);
    pool.configure = |builder| builder.floor(1).max_members(2);
    let [mut a, mut b] = [pool.join(), pool.join()];
    pool.busy(20 * SECOND, &mut [(&mut a, 12), (&mut b, 12)]);
    assert_eq!((a.limiter.ceiling(), b.limiter.ceiling()), (6, 6));
    let Driven { core, limiter, .. } = a;
    let cap = core.leave();
    assert_eq!(limiter.ceiling(), 0);
    pool.busy(6 * SECOND, &mut [(&mut b, 12)]);
    assert_eq!(b.limiter.ceiling(), 11, "all but the floor that is set aside");
    drop(cap);
    assert_eq!(limiter.ceiling(), 100);
}

#[test]
fn the_newest_total_counts_and_the_others_say_so() {
    let mut pool = Pool::settled(12);
    let mut a = pool.join();
    let _waiting = demand(&a.limiter, 30);
    pool.pass(SECOND, &mut [&mut a]);
    pool.total = 6;
    let mut b = pool.join();
    pool.pass(11 * SECOND, &mut [&mut a, &mut b]);
    assert!(matches!(a.state(), State::Leased { total: 6, .. }), "{:?}", a.state());
    assert!(matches!(&a.warnings()[..], [Warning::TermsDiffer { own, pool }]
        if (own.total, pool.total) == (12, 6)));
    assert_eq!(b.warnings(), []);
    assert!(a.limiter.ceiling() + b.limiter.ceiling() <= 6);
}

#[test]
fn more_members_than_floors_are_said_loudly() {
    let mut pool = Pool::settled(12);
    pool.configure = |builder| builder.floor(3).max_members(2);
    let [mut a, mut b, mut c] = [pool.join(), pool.join(), pool.join()];
    pool.pass(11 * SECOND, &mut [&mut a, &mut b, &mut c]);
    assert!(matches!(a.warnings()[..], [Warning::TooManyMembers { members: 3, max_members: 2 }]));
}

#[test]
fn where_there_is_not_one_for_each_permits_are_passed_on() {
    let pool = Pool::settled(2);
    let mut members: Vec<Driven> = (0..6).map(|_| pool.join()).collect();
    let mut had = [false; 6];
    for _ in 0..4 * 300 {
        let mut all: Vec<_> = members.iter_mut().map(|member| (member, 5)).collect();
        pool.busy(SECOND / 4, &mut all);
        for (had, member) in had.iter_mut().zip(&members) {
            *had |= member.limiter.ceiling() > 0;
        }
    }
    assert_eq!(had, [true; 6]);
}

#[test]
fn answers_that_make_no_sense_leave_the_member_at_its_floor() {
    struct Mad(u64);
    impl ShareStore for Mad {
        fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError> {
            self.0 += 1;
            let mut answer = Answer {
                share: 5,
                fair: 5,
                members: 1,
                epoch: 1,
                quiet: 0,
                now: 1,
                terms: request.terms,
                since: 1,
            };
            match self.0 % 6 {
                0 => answer.share = 1 << 40,
                1 => answer.terms.ttl = u64::MAX,
                2 => answer.terms.total = u64::MAX,
                3 => answer.members = 0,
                4 => answer.terms.floor = u64::MAX,
                _ => panic!("no answer at all"),
            }
            Ok(answer)
        }
    }
    let pool = Pool::new(12);
    let limiter = pool.limiter();
    let builder = Member::builder(limiter.clone()).store(Mad(0)).total(12).any_clock();
    let (mut core, _) = builder.core().unwrap();
    for _ in 0..200 {
        pool.clock.advance(SECOND);
        core.tick();
        assert_eq!(limiter.ceiling(), 0);
        let state = core.board().state(limiter.now().unwrap());
        assert!(matches!(state, State::Alone { why: Why::Store(StoreError::Garbage(_)), .. }));
    }
}

#[test]
fn what_cannot_be_is_refused_at_the_start() {
    let start = |configure: fn(crate::Builder) -> crate::Builder| {
        let limiter = Limiter::builder("db").ceiling(9).run_alone(false);
        let limiter = limiter.clock(crate::LeaseClock).build().unwrap();
        configure(Member::builder(limiter).store(MemoryStore::new()).total(9)).start()
    };
    assert!(start(|builder| builder).is_ok());
    assert!(matches!(start(|b| b.total(0)), Err(StartError::Total { total: 0 })));
    assert!(matches!(start(|b| b.total(usize::MAX)), Err(StartError::Total { .. })));
    assert!(matches!(start(|b| b.floor(1)), Err(StartError::Floor { .. })));
    assert!(matches!(start(|b| b.floor(5).max_members(2)), Err(StartError::Floor { .. })));
    assert!(matches!(start(|b| b.ttl(SECOND).refresh(SECOND)), Err(StartError::Times { .. })));
    assert!(matches!(start(|b| b.ttl(Duration::ZERO)), Err(StartError::Times { .. })));
    assert!(matches!(start(|b| b.ttl(Duration::MAX)), Err(StartError::Times { .. })));
    let db = Limiter::builder("db").ceiling(9).run_alone(false).build().unwrap();
    let error = Member::builder(db).store(MemoryStore::new()).total(9).start().unwrap_err();
    assert!(
        matches!(error, StartError::Clock),
        "the system's clock stands still in a suspended machine"
    );
    let db = Limiter::builder("db").ceiling(9).run_alone(false).build().unwrap();
    assert!(matches!(Member::builder(db).total(9).any_clock().start(), Err(StartError::NoStore)));
}
