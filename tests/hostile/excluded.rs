//! What the docs of `Limiter`, section "Wakers", exclude, shown to be what they say: it may
//! deadlock. Each runs in a process of its own, which is given up when it stands still.
//!
//! If one of these ends well some day, the docs exclude too much.

use std::future::Future;
use std::io::{BufRead, BufReader, Write, stderr};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use grmgr::{AcquireOwned, Limiter};

use crate::hooks::{Hook, Task};

/// From the step in question on. What does not deadlock takes microseconds.
const LIMIT: Duration = Duration::from_secs(2);
const CHILD: &str = "GRMGR_HOSTILE_CHILD";
const READY: &str = "the next step may deadlock";
const ENDED: &str = "it did not";

#[derive(Debug, PartialEq, Eq)]
enum End {
    Deadlock,
    Fine,
    Failed,
}

/// In the parent: runs the test `name` in a child and tells how it ended. In the child: `None`,
/// after `act`, which calls `ready` just before the step in question.
fn in_a_child(name: &str, act: impl FnOnce(&dyn Fn())) -> Option<End> {
    // Not with `eprintln`, which the test harness may catch.
    let say = |text: &str| writeln!(stderr(), "{text}").expect("the parent listens");
    if std::env::var_os(CHILD).is_some() {
        act(&|| say(READY));
        say(ENDED);
        return None;
    }
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", &format!("excluded::{name}"), "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let stderr = child.stderr.take().expect("piped");
    let (line, lines) = channel();
    let reader = std::thread::spawn(move || {
        for text in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = line.send(text);
        }
    });
    // However busy the machine is: the time counts from the moment that it says so.
    let ready = lines.iter().any(|text| text == READY);
    let end = loop {
        match lines.recv_timeout(LIMIT) {
            Ok(text) if text == ENDED => break End::Fine,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => break End::Deadlock,
            Err(RecvTimeoutError::Disconnected) => break End::Failed,
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    reader.join().expect("ends with the child");
    assert!(ready, "the child did not get as far as the step in question");
    Some(end)
}

fn may_deadlock(name: &str, act: impl FnOnce(&dyn Fn())) {
    if let Some(end) = in_a_child(name, act) {
        // With another standard library's mutex it could be a panic.
        assert!(matches!(end, End::Deadlock | End::Failed), "the docs exclude too much");
    }
}

fn ends_well(name: &str, act: impl FnOnce(&dyn Fn())) {
    if let Some(end) = in_a_child(name, act) {
        assert_eq!(end, End::Fine);
    }
}

type Cell<T> = Arc<Mutex<Option<T>>>;

/// A limiter with one permit out, a head, and behind it a request whose waker, called under the
/// queue's lock, does `action` with what is in the cell: that request.
fn called_from_the_queue(
    ready: &dyn Fn(),
    action: impl FnOnce(&Cell<Task<AcquireOwned>>, &Arc<Limiter>) + Send + 'static,
) {
    let limiter = Arc::new(Limiter::new("excluded", 1));
    let permit = limiter.try_acquire_owned().unwrap();
    let head = Task::waiting(limiter.acquire_owned(), Arc::new(Hook::default()));
    let cell: Cell<Task<AcquireOwned>> = Arc::default();
    let hook = {
        let (cell, limiter) = (cell.clone(), limiter.clone());
        Hook::new(move || action(&cell, &limiter))
    };
    *cell.lock().unwrap() = Some(Task::waiting(limiter.acquire_owned(), hook));
    drop(permit);
    ready();
    drop(head);
}

#[test]
fn request_in_the_queue_polled_inside_its_wake() {
    may_deadlock("request_in_the_queue_polled_inside_its_wake", |ready| {
        called_from_the_queue(ready, |cell, _| {
            let task = cell.lock().unwrap().take();
            drop(task.unwrap().poll());
        });
    });
}

#[test]
fn request_in_the_queue_dropped_inside_its_wake() {
    may_deadlock("request_in_the_queue_dropped_inside_its_wake", |ready| {
        called_from_the_queue(ready, |cell, _| {
            let task = cell.lock().unwrap().take();
            drop(task);
        });
    });
}

#[test]
fn newcomer_that_joins_the_line_inside_a_wake() {
    may_deadlock("newcomer_that_joins_the_line_inside_a_wake", |ready| {
        called_from_the_queue(ready, |_, limiter| {
            // The one permit is taken, so that the newcomer has to wait.
            let permit = limiter.try_acquire_owned().unwrap();
            let task = Task::waiting(limiter.acquire_owned(), Arc::new(Hook::default()));
            drop((task, permit));
        });
    });
}

/// The simplest of executors: a task is owned by its wakers and by the run queue to which they push
/// it. Once the run queue has been shut down, what is pushed is dropped, request and all.
#[test]
fn task_that_its_executor_drops_inside_wake() {
    struct Orphan {
        request: OnceLock<Mutex<AcquireOwned>>,
    }
    impl Wake for Orphan {
        fn wake(self: Arc<Self>) {
            // The run queue is gone: what was to be pushed there is dropped.
        }
    }
    may_deadlock("task_that_its_executor_drops_inside_wake", |ready| {
        let limiter = Arc::new(Limiter::new("excluded", 1));
        let permit = limiter.try_acquire_owned().unwrap();
        let head = Task::waiting(limiter.acquire_owned(), Arc::new(Hook::default()));
        let orphan = Arc::new(Orphan { request: OnceLock::new() });
        let waker = Waker::from(orphan.clone());
        let mut request = limiter.acquire_owned();
        assert!(Pin::new(&mut request).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(orphan.request.set(Mutex::new(request)).is_ok());
        drop((orphan, waker));
        drop(permit);
        ready();
        drop(head);
    });
}

/// Two limiters: in each a waiter whose waker, called under its queue's lock, drops a request that waits
/// in the other's queue.
#[test]
fn requests_of_two_limiters_dropped_inside_each_others_wake() {
    may_deadlock("requests_of_two_limiters_dropped_inside_each_others_wake", |ready| {
        let limiters = [(); 2].map(|()| Arc::new(Limiter::new("excluded", 1)));
        let held = limiters.each_ref().map(|limiter| limiter.try_acquire_owned().unwrap());
        let heads = limiters
            .each_ref()
            .map(|limiter| Task::waiting(limiter.acquire_owned(), Arc::new(Hook::default())));
        // Both wakers run before either goes on.
        let both = Arc::new(Barrier::new(2));
        let called = [1, 0].map(|other| {
            let cell: Cell<Task<AcquireOwned>> = Arc::default();
            let hook = {
                let (cell, both) = (cell.clone(), both.clone());
                Hook::new(move || {
                    both.wait();
                    let task = cell.lock().unwrap().take();
                    drop(task);
                })
            };
            let limiter = &limiters[1 - other];
            (Task::waiting(limiter.acquire_owned(), hook), cell, other)
        });
        for (_, cell, other) in &called {
            let quiet = Arc::new(Hook::default());
            *cell.lock().unwrap() = Some(Task::waiting(limiters[*other].acquire_owned(), quiet));
        }
        drop(held);
        ready();
        let threads = heads.map(|head| std::thread::spawn(move || drop(head)));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Tasks that wait for the limiter to be idle are woken under a lock of their own; one that begins to wait
/// just then tries again later.
#[test]
fn wait_for_idleness_begun_inside_the_wake_of_another() {
    ends_well("wait_for_idleness_begun_inside_the_wake_of_another", |ready| {
        let limiter = Arc::new(Limiter::new("excluded", 1));
        let permit = limiter.try_acquire_owned().unwrap();
        let hook = {
            let limiter = limiter.clone();
            Hook::new(move || {
                let permit = limiter.try_acquire_owned().unwrap();
                let wait = Task::waiting(limiter.wait(), Arc::new(Hook::default()));
                drop((wait, permit));
            })
        };
        let wait = Task::waiting(limiter.wait(), hook);
        ready();
        drop(permit);
        drop(wait);
    });
}

/// The same under the queue's lock.
#[test]
fn wait_for_idleness_begun_inside_the_wake_of_a_request() {
    ends_well("wait_for_idleness_begun_inside_the_wake_of_a_request", |ready| {
        called_from_the_queue(ready, |_, limiter| {
            let permit = limiter.try_acquire_owned().unwrap();
            drop(Task::waiting(limiter.wait(), Arc::new(Hook::default())));
            drop(permit);
        });
    });
}
