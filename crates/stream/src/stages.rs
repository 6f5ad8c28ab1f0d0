//! Stages of one pipeline that share a limiter.
//!
//! A stage polls the one before it, and what runs in that runs only then. So one that waits for a permit
//! goes on polling its source: the permit may be held there. And while it waits, the stages before it
//! begin nothing under that limiter, or they could take its permits for ever. They learn that here, as
//! they are polled within its poll, on the same thread, and tell how many items they may have.
//!
//! A stage that is held back registers nowhere. If it is polled with another waker than the one that holds
//! it back (by `select_all`, say), it leaves its own, to be woken when it may begin again.

use std::cell::RefCell;
use std::task::{Context, Waker};

use grmgr::Handle;

/// A stage that waits for a permit, and polls its source.
struct Waiting {
    /// The address of its limiter.
    limiter: usize,
    /// It has as much as it should have already: nothing before it begins, under whatever limiter.
    full: bool,
    /// How many items the stages before it may have.
    upstream: usize,
    waker: WakerId,
    held_back: HeldBack,
}

/// The stages that a later one holds back. They are woken when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct HeldBack(Vec<Waker>);

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

/// What tells one waker from another.
type WakerId = (usize, usize);

fn id(waker: &Waker) -> WakerId {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

thread_local! {
    /// The last one is the earliest in its pipeline.
    static WAITING: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
}

/// Polls the source of a stage that waits. Returns also how many items the stages before it may have, as
/// far as they were polled.
pub(crate) fn poll_source<T>(
    limiter: &Handle,
    full: bool,
    held_back: &mut HeldBack,
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> T,
) -> (T, usize) {
    /// Also if the source panics.
    struct Leave(usize);
    impl Drop for Leave {
        fn drop(&mut self) {
            // Those that it held back are woken, which may be anybody's code: not in here.
            drop(WAITING.with_borrow_mut(|waiting| waiting.split_off(self.0)));
        }
    }
    let stage = Waiting {
        limiter: address(limiter),
        full,
        upstream: 0,
        waker: id(cx.waker()),
        held_back: std::mem::take(held_back),
    };
    let leave = WAITING.with_borrow_mut(|waiting| {
        waiting.push(stage);
        Leave(waiting.len() - 1)
    });
    let polled = poll(cx);
    let upstream = WAITING.with_borrow_mut(|waiting| {
        let stage = &mut waiting[leave.0];
        *held_back = std::mem::take(&mut stage.held_back);
        stage.upstream
    });
    (polled, upstream)
}

/// A stage is polled that may have so many items, itself and before it. Returns whether a later one holds
/// it back.
pub(crate) fn visit(limiter: &Handle, items: usize, cx: &Context<'_>) -> bool {
    WAITING.with_borrow_mut(|waiting| {
        let Some(next) = waiting.last_mut() else { return false };
        next.upstream = next.upstream.saturating_add(items);
        let mut held_back = false;
        for stage in waiting.iter_mut() {
            if !stage.full && stage.limiter != address(limiter) {
                continue;
            }
            held_back = true;
            let known = |waker: &Waker| waker.will_wake(cx.waker());
            if stage.waker != id(cx.waker()) && !stage.held_back.0.iter().any(known) {
                stage.held_back.0.push(cx.waker().clone());
            }
        }
        held_back
    })
}

fn address(limiter: &Handle) -> usize {
    std::ptr::from_ref(&**limiter).addr()
}
