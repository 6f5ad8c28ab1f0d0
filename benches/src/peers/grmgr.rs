//! This crate: as it comes, strictly first in, first out, with a patience between, and with the
//! feature `stats`.

use std::future::Future;
use std::sync::Arc;

use super::{AsyncPeer, BlockingPeer, Kind, Lower, OwnedPeer, Peer, Raise, Weighted};

const OPEN: &str = "no row closes the limiter";

macro_rules! adapter {
    ($(#[$doc:meta])* $type:ident, $name:literal, $lib:ident, $patience:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $type(::$lib::Limiter);

        impl $type {
            fn limiter(ceiling: usize, max: usize) -> ::$lib::Limiter {
                let patience: Option<u32> = $patience;
                let mut builder = ::$lib::Limiter::builder("bench").ceiling(ceiling).max(max);
                if let Some(patience) = patience {
                    builder = builder.patience(patience);
                }
                builder.build().expect("a valid configuration")
            }

            /// A ceiling that did not move would make the rows that move it look fast.
            fn move_to(&self, ceiling: usize) {
                let adjustment = self.0.set_ceiling(ceiling);
                assert!(matches!(adjustment, ::$lib::Adjustment::Changed { .. }));
            }
        }

        impl Peer for $type {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::Ours;
            type Permit<'a> = ::$lib::Permit<'a>;

            fn new(ceiling: usize) -> Self {
                Self(Self::limiter(ceiling, ceiling))
            }
            #[inline]
            fn try_acquire(&self) -> Option<::$lib::Permit<'_>> {
                self.0.try_acquire().ok()
            }
        }

        impl AsyncPeer for $type {
            #[inline]
            async fn acquire(&self) -> ::$lib::Permit<'_> {
                self.0.acquire().await.expect(OPEN)
            }
            fn future_bytes(&self) -> usize {
                size_of_val(&self.0.acquire())
            }
        }

        impl Weighted for $type {
            #[inline]
            async fn acquire_many(&self, n: usize) -> ::$lib::Permit<'_> {
                self.0.acquire_many(n).await.expect(OPEN)
            }
        }

        impl OwnedPeer for $type {
            type Shared = Arc<::$lib::Limiter>;
            type OwnedPermit = ::$lib::OwnedPermit;

            fn shared(ceiling: usize) -> Self::Shared {
                Arc::new(Self::limiter(ceiling, ceiling))
            }
            #[inline]
            fn try_acquire_owned(shared: &Self::Shared) -> Option<Self::OwnedPermit> {
                shared.try_acquire_owned().ok()
            }
            #[inline]
            fn acquire_owned(
                shared: &Self::Shared,
            ) -> impl Future<Output = Self::OwnedPermit> + Send {
                async move { shared.acquire_owned().await.expect(OPEN) }
            }
        }

        impl BlockingPeer for $type {
            #[inline]
            fn acquire_blocking(&self) -> ::$lib::Permit<'_> {
                self.0.acquire_blocking().expect(OPEN)
            }
        }

        impl Raise for $type {
            fn new_raisable(ceiling: usize, max: usize) -> Self {
                Self(Self::limiter(ceiling, max))
            }
            #[inline]
            fn raise(&self, by: usize) {
                self.move_to(self.0.ceiling() + by);
            }
        }

        impl Lower for $type {
            #[inline]
            fn lower(&self, by: usize) {
                self.move_to(self.0.ceiling() - by);
            }
        }
    };
}

adapter!(
    /// grmgr as it comes.
    Grmgr,
    "grmgr",
    grmgr,
    None
);
adapter!(
    /// grmgr with `patience(0)`: no newcomer overtakes a waiter.
    GrmgrStrict,
    "grmgr strict",
    grmgr,
    Some(0)
);
adapter!(
    /// grmgr with `patience(1)`, for the rows that patience decides.
    GrmgrPatience1,
    "grmgr patience 1",
    grmgr,
    Some(1)
);
adapter!(
    /// grmgr built a second time with the feature `stats`, for the rows that tell what it costs.
    GrmgrStats,
    "grmgr stats",
    grmgr_with_stats,
    None
);
