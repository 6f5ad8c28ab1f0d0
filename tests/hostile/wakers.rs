//! Wakers that use the limiter from inside `wake`, wherever the woken one stood.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use grmgr::{AcquireOwned, Limiter, OwnedPermit, Registry};

use crate::common::{assert_at_rest, must_end};
use crate::hooks::{Hook, Task, run_to_the_end};

pub(crate) const CEILING: usize = 4;

/// Where the one stands whose waker misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the front of the line: woken with no lock held.
    Head,
    /// In the queue, called to the vacant seat: woken under the queue's lock.
    Seat,
    /// In the queue, called with a permit of its own: woken under the queue's lock.
    Handed,
    /// Waiting for the limiter to be idle: woken under a lock of its own.
    Idle,
}

/// What a waker has at hand.
pub(crate) struct Scene {
    pub(crate) limiter: Arc<Limiter>,
    /// A permit to give back; none where there can be none, with an idle limiter.
    spare: Mutex<Option<OwnedPermit>>,
    /// Permits taken inside `wake` and held beyond it.
    kept: Mutex<Vec<OwnedPermit>>,
}

impl Scene {
    pub(crate) fn new(patience: u32) -> Arc<Self> {
        let limiter = Limiter::builder("wakers")
            .ceiling(CEILING)
            .min(0)
            .max(2 * CEILING)
            .hold(Duration::ZERO)
            .patience(patience)
            .build()
            .unwrap();
        Arc::new(Self {
            limiter: Arc::new(limiter),
            spare: Mutex::new(None),
            kept: Mutex::new(Vec::new()),
        })
    }

    fn release_spare(&self) {
        let spare = self.spare.lock().unwrap().take();
        drop(spare);
    }

    fn keep(&self, permit: Option<OwnedPermit>) {
        self.kept.lock().unwrap().extend(permit);
    }

    /// Ends everything that the waker has begun, lets all tasks run, and looks for what is lost.
    pub(crate) fn end(&self, held: Vec<OwnedPermit>, tasks: &mut [Task<AcquireOwned>]) {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        drop((held, kept));
        self.release_spare();
        self.limiter.resume();
        let _ = self.limiter.set_ceiling(CEILING);
        let asked = tasks.iter().filter(|task| !task.is_done()).count();
        let granted = run_to_the_end(tasks);
        if !self.limiter.is_closed() {
            assert_eq!(granted, asked);
        }
        assert_at_rest(&self.limiter);
    }
}

/// Has `action` done by the wakers of all places, in a limiter where newcomers may overtake and in
/// a strict one.
#[track_caller]
fn everywhere(action: impl Fn(&Scene) + Send + Sync + Clone + 'static) {
    for place in [Place::Head, Place::Seat, Place::Handed, Place::Idle] {
        for patience in [16, 1, 0] {
            let action = action.clone();
            must_end(move || act(place, patience, action));
        }
    }
}

fn act(place: Place, patience: u32, action: impl Fn(&Scene) + Send + 'static) {
    let scene = Scene::new(patience);
    let limiter = &scene.limiter;
    let hook = {
        // Weak, or the waker would keep itself alive in the limiter's line.
        let scene = Arc::downgrade(&scene);
        Hook::new(move || action(&scene.upgrade().unwrap()))
    };
    let mut held: Vec<_> =
        (0..CEILING).map(|_| limiter.try_acquire_owned().expect("free")).collect();

    if place == Place::Idle {
        let mut wait = Task::waiting(limiter.wait(), hook.clone());
        drop(held);
        assert_eq!(hook.wakes(), 1);
        assert!(wait.poll().is_some(), "the idle moment is latched (I11)");
        scene.end(Vec::new(), &mut []);
        return;
    }

    *scene.spare.lock().unwrap() = held.pop();
    let mut hooks: Vec<_> = (0..5).map(|_| Arc::new(Hook::default())).collect();
    hooks[usize::from(place != Place::Head)] = hook.clone();
    let mut tasks: Vec<_> =
        hooks.into_iter().map(|hook| Task::waiting(limiter.acquire_owned(), hook)).collect();
    assert_eq!(limiter.waiting(), tasks.len());

    drop(held.pop());
    match place {
        Place::Head | Place::Idle => {}
        Place::Seat => drop(tasks.remove(0)),
        Place::Handed => drop(held.pop()),
    }
    assert_eq!(hook.wakes(), 1, "{place:?}");
    scene.end(held, &mut tasks);
}

#[test]
fn wakers_may_acquire_and_release() {
    everywhere(|scene| drop(scene.limiter.try_acquire()));
    everywhere(|scene| {
        for n in 0..=CEILING {
            drop(scene.limiter.try_acquire_many(n));
        }
    });
    everywhere(|scene| scene.keep(scene.limiter.try_acquire_owned().ok()));
    everywhere(|scene| {
        if let Ok(permit) = scene.limiter.try_acquire() {
            permit.forget();
            scene.limiter.done();
        }
    });
}

#[test]
fn wakers_may_release_what_others_wait_for() {
    everywhere(Scene::release_spare);
    everywhere(|scene| {
        scene.release_spare();
        scene.keep(scene.limiter.try_acquire_owned().ok());
    });
    everywhere(|scene| {
        // Back and forth: each release has to find the waiter that the one before could not call.
        for _ in 0..100 {
            scene.release_spare();
            *scene.spare.lock().unwrap() = scene.limiter.try_acquire_owned().ok();
        }
    });
}

#[test]
fn wakers_may_move_the_ceiling() {
    everywhere(|scene| {
        let _ = scene.limiter.up();
    });
    everywhere(|scene| {
        let _ = scene.limiter.down();
    });
    for ceilings in [[0, 2 * CEILING], [2 * CEILING, 0], [1, CEILING], [2 * CEILING, CEILING]] {
        everywhere(move |scene| {
            for ceiling in ceilings {
                let _ = scene.limiter.set_ceiling(ceiling);
            }
        });
    }
}

#[test]
fn wakers_may_pause_and_resume() {
    everywhere(|scene| scene.limiter.pause());
    everywhere(|scene| {
        scene.limiter.pause();
        scene.release_spare();
        scene.limiter.resume();
    });
}

#[test]
fn wakers_may_close() {
    everywhere(|scene| scene.limiter.close());
    everywhere(|scene| {
        scene.release_spare();
        scene.limiter.close();
        scene.keep(scene.limiter.try_acquire_owned().ok());
        let _ = scene.limiter.set_ceiling(2 * CEILING);
    });
    everywhere(|scene| {
        let registry = Registry::new();
        let _ = registry.register(scene.limiter.clone());
        drop(registry.delete("wakers"));
    });
}

#[test]
fn wakers_may_read() {
    everywhere(|scene| {
        let limiter = &scene.limiter;
        let snapshot = limiter.snapshot();
        assert!(snapshot.in_flight <= snapshot.ceiling);
        assert!(format!("{limiter:?} {snapshot:?}").contains("wakers"));
        let _ = (limiter.available(), limiter.waiting(), limiter.throttle());
    });
}

/// A request takes its place in line when it is polled: until then it concerns no other.
#[test]
fn wakers_may_make_requests_and_drop_them_unpolled() {
    everywhere(|scene| {
        drop(scene.limiter.acquire());
        drop(scene.limiter.acquire_many_owned(CEILING));
        drop(scene.limiter.wait());
    });
}

#[test]
fn wakers_may_use_another_limiter_in_every_way() {
    everywhere(|_| {
        let other = Limiter::new("other", 1);
        let permit = other.acquire_blocking().unwrap();
        assert!(other.acquire().blocking_timeout(Duration::ZERO).is_err());
        drop(permit);
        other.wait_blocking();
        assert_at_rest(&other);
    });
}

/// The waker holds the last reference to the limiter but for its own request's.
#[test]
fn wakers_may_drop_the_limiter() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("dropped", 1));
        let weak: Weak<Limiter> = Arc::downgrade(&limiter);
        let permit = limiter.try_acquire_owned().unwrap();
        let request = limiter.acquire_owned();
        let hook = Hook::new(move || drop(limiter));
        let mut task = Task::waiting(request, hook);
        drop(permit);
        let permit = task.run().expect("woken").unwrap();
        drop(task);
        let limiter = weak.upgrade().expect("kept by the permit");
        drop(permit);
        assert_at_rest(&limiter);
        drop(limiter);
        assert!(weak.upgrade().is_none(), "nothing keeps it alive");
    });
}

/// Lets go of everything at once, from the waker: the permits, the requests' handles and the limiter.
#[test]
fn wakers_may_drop_the_limiter_and_its_last_permit() {
    for queued in [false, true] {
        must_end(move || {
            let limiter = Arc::new(Limiter::new("dropped", 2));
            let weak = Arc::downgrade(&limiter);
            let first = limiter.try_acquire_owned().unwrap();
            let last = limiter.try_acquire_owned().unwrap();
            let hook = Hook::default();
            let mut hooks = [Arc::new(hook), Arc::new(Hook::default())];
            let (a, b) = (limiter.acquire_owned(), limiter.acquire_owned());
            hooks[usize::from(queued)] = Hook::new(move || drop((last, limiter)));
            let [one, two] = hooks;
            let mut tasks = vec![Task::waiting(a, one), Task::waiting(b, two)];
            drop(first);
            if queued {
                // Gives up the seat, to which the second is called.
                drop(tasks.remove(0));
            }
            let asked = tasks.len();
            assert_eq!(run_to_the_end(&mut tasks), asked);
            drop(tasks);
            assert!(weak.upgrade().is_none(), "nothing keeps it alive");
        });
    }
}
