//! This crate, with the default patience and strictly first in, first out.

use std::future::Future;
use std::sync::Arc;

use ::grmgr::{Adjustment, Limiter, OwnedPermit, Permit};

use super::{AsyncPeer, BlockingPeer, Kind, Lower, OwnedPeer, Peer, Raise};

const OPEN: &str = "no row closes the limiter";

fn build(ceiling: usize, max: usize, patience: Option<u32>) -> Limiter {
    let mut builder = Limiter::builder("bench").ceiling(ceiling).max(max);
    if let Some(patience) = patience {
        builder = builder.patience(patience);
    }
    builder.build().expect("a valid configuration")
}

/// A ceiling that did not move would make the rows that move it look fast.
fn moved(adjustment: &Adjustment) {
    assert!(matches!(adjustment, Adjustment::Changed { .. }));
}

macro_rules! adapter {
    ($(#[$doc:meta])* $type:ident, $name:literal, $patience:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $type(Limiter);

        impl Peer for $type {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::Ours;
            type Permit<'a> = Permit<'a>;

            fn new(ceiling: usize) -> Self {
                Self(build(ceiling, ceiling, $patience))
            }
            #[inline]
            fn try_acquire(&self) -> Option<Permit<'_>> {
                self.0.try_acquire().ok()
            }
        }

        impl AsyncPeer for $type {
            #[inline]
            async fn acquire(&self) -> Permit<'_> {
            self.0.acquire().await.expect(OPEN)
            }
            fn future_bytes(&self) -> usize {
                size_of_val(&self.0.acquire())
            }
        }

        impl OwnedPeer for $type {
            type Shared = Arc<Limiter>;
            type OwnedPermit = OwnedPermit;

            fn shared(ceiling: usize) -> Arc<Limiter> {
                Arc::new(build(ceiling, ceiling, $patience))
            }
            #[inline]
            fn try_acquire_owned(shared: &Arc<Limiter>) -> Option<OwnedPermit> {
                shared.try_acquire_owned().ok()
            }
            #[inline]
            fn acquire_owned(
                shared: &Arc<Limiter>,
            ) -> impl Future<Output = OwnedPermit> + Send {
                async move { shared.acquire_owned().await.expect(OPEN) }
            }
        }

        impl BlockingPeer for $type {
            #[inline]
            fn acquire_blocking(&self) -> Permit<'_> {
                self.0.acquire_blocking().expect(OPEN)
            }
        }

        impl Raise for $type {
            fn new_raisable(ceiling: usize, max: usize) -> Self {
                Self(build(ceiling, max, $patience))
            }
            #[inline]
            fn raise(&self, by: usize) {
                moved(&self.0.set_ceiling(self.0.ceiling() + by));
            }
        }

        impl Lower for $type {
            #[inline]
            fn lower(&self, by: usize) {
                moved(&self.0.set_ceiling(self.0.ceiling() - by));
            }
        }
    };
}

adapter!(
    /// grmgr as it comes.
    Grmgr,
    "grmgr",
    None
);
adapter!(
    /// grmgr with `patience(0)`: no newcomer overtakes a waiter.
    GrmgrStrict,
    "grmgr strict",
    Some(0)
);
