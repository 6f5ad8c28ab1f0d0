//! A newcomer that never has to wait lets the head run (I16).
//!
//! Only under loom, which runs what is ready in turn: how long a thread is held up is not bounded
//! elsewhere.
#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use grmgr::Limiter;
use loom_tests::{Task, assert_at_rest, idle, model, request, spawn};

/// With a patience of 1 newcomers give way when they have gone past 30 times, and once more before each
/// of the next two. A head that is held up just then has to wait for the next period.
const PATIENCE: u32 = 1;
const BOUND: usize = 2 * 32;

#[test]
fn newcomer_that_loops_gives_way_to_a_called_head() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(1).patience(PATIENCE).build().unwrap();
        let limiter = Arc::new(limiter);
        let held = limiter.try_acquire_owned().unwrap();
        let mut head = request(&limiter, 1);
        // No part of what is modelled.
        let served = Arc::new(AtomicBool::new(false));
        let newcomer = spawn({
            let (limiter, served) = (limiter.clone(), served.clone());
            move || {
                drop(held);
                for overtakes in 0..=BOUND {
                    if served.load(SeqCst) {
                        return;
                    }
                    let permit = Task::start(limiter.acquire_owned());
                    if !permit.is_done() {
                        // It has given way, or the head is ahead of it.
                        return drop(permit.finish());
                    }
                    assert!(overtakes < BOUND, "the head starves (I16)");
                }
            }
        });
        while !head.is_done() {
            if !head.run() {
                idle();
            }
        }
        served.store(true, SeqCst);
        drop(head.output().unwrap());
        newcomer.join().unwrap();
        assert_at_rest(&limiter, 1);
    });
}
