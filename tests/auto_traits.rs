//! What the types promise at compile time.

#![cfg(feature = "std")]

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::Ready;
use std::mem::size_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use grmgr::{
    Acquire, AcquireAll, AcquireError, AcquireOwned, Adjust, Adjustment, Applied, ApplyError,
    Builder, Cap, Clock, Config, ConfigError, Configs, Handle, InvalidConfig, Limiter, ManualClock,
    NameTaken, OwnedCap, OwnedPermit, ParseAdjustError, Permit, Registry, Run, RunOwned, Snapshot,
    SystemClock, Throttle, TooManyCaps, TryAcquireError, Wait, WaitOwned, WeakHandle, acquire_all,
};

static LIMITER: Limiter = Limiter::const_new("static", 2);
static LARGEST: Limiter = Limiter::const_new("largest", Limiter::MAX_CEILING);
static SMALLEST: Limiter = Limiter::const_new("smallest", 1);
static REGISTRY: Registry = Registry::new();

/// I12: no set-up, no runtime.
#[test]
fn limiter_may_be_a_static() {
    let permit: Permit<'static> = LIMITER.acquire_blocking().unwrap();
    std::thread::spawn(move || drop(permit)).join().unwrap();
    assert_eq!((LIMITER.name(), LIMITER.in_flight()), ("static", 0));
    assert_eq!(LARGEST.available(), Limiter::MAX_CEILING);
    assert_eq!(SMALLEST.ceiling(), 1);
    assert!(REGISTRY.names().is_empty());
}

fn is_everywhere<T: Send + Sync + Unpin>() {}

#[test]
fn everything_goes_to_every_thread() {
    is_everywhere::<Limiter>();
    is_everywhere::<Registry>();
    is_everywhere::<Permit<'_>>();
    is_everywhere::<OwnedPermit>();
    is_everywhere::<Acquire<'_>>();
    is_everywhere::<AcquireOwned>();
    is_everywhere::<Wait<'_>>();
    is_everywhere::<WaitOwned>();
    is_everywhere::<(Handle, WeakHandle)>();
    is_everywhere::<Run<'_, Ready<()>>>();
    is_everywhere::<RunOwned<Ready<()>>>();
    is_everywhere::<AcquireAll<'_, 2>>();
    is_everywhere::<(Cap<'_>, OwnedCap)>();
    is_everywhere::<(Config, Configs, Applied)>();
    is_everywhere::<Builder>();
    is_everywhere::<Snapshot>();
    is_everywhere::<(Throttle, Adjust, Adjustment)>();
    is_everywhere::<(AcquireError, TryAcquireError, ConfigError, NameTaken, TooManyCaps)>();
    is_everywhere::<(ManualClock, SystemClock, Box<dyn Clock>)>();
}

#[test]
fn futures_are_futures_of_what_the_contract_says() {
    fn acquires<'a>() -> impl Sized + use<'a> {
        fn output<'a, F: Future<Output = Result<Permit<'a>, AcquireError>>>() {}
        output::<Acquire<'a>>();
    }
    fn acquires_owned<F: Future<Output = Result<OwnedPermit, AcquireError>> + 'static>() {}
    fn waits<F: Future<Output = ()>>() {}
    fn waits_owned<F: Future<Output = ()> + 'static>() {}
    fn runs<F: Future<Output = Result<u8, AcquireError>>>() {}
    fn runs_owned<F: Future<Output = Result<u8, AcquireError>> + 'static>() {}
    fn acquires_all<'a>() -> impl Sized + use<'a> {
        fn output<'a, F: Future<Output = Result<[Permit<'a>; 2], AcquireError>>>() {}
        output::<AcquireAll<'a, 2>>();
    }
    acquires();
    acquires_owned::<AcquireOwned>();
    waits::<Wait<'_>>();
    waits_owned::<WaitOwned>();
    runs::<Run<'_, Ready<u8>>>();
    runs_owned::<RunOwned<Ready<u8>>>();
    acquires_all();
}

#[test]
fn future_of_wait_all_may_be_spawned() {
    fn spawnable<F: Future + Send + 'static>(_: F) {}
    spawnable(Registry::global().wait_all());
    let limiter = Arc::new(Limiter::new("spawned", 1));
    spawnable(limiter.acquire_owned());
    spawnable(limiter.wait_owned());
    spawnable(limiter.run_owned(async {}));
    spawnable(LIMITER.run(async {}));
    spawnable(acquire_all([(&LIMITER, 1), (&LARGEST, 1)]));
    spawnable(async move { drop(limiter.acquire().await) });
}

#[test]
fn errors_are_errors() {
    fn error<T: Error + Display + Debug + Send + Sync + 'static>() {}
    error::<AcquireError>();
    error::<TryAcquireError>();
    error::<ConfigError>();
    error::<NameTaken>();
    error::<InvalidConfig>();
    error::<ApplyError>();
    error::<ParseAdjustError>();
    error::<TooManyCaps>();
}

/// Whether a type has a trait, as a constant: an inherent one goes before that of a trait.
macro_rules! holds {
    ($type:ty: $trait:path) => {{
        struct Probe<T>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "if it holds")]
        trait Otherwise {
            const HOLDS: bool = false;
        }
        impl<T> Otherwise for Probe<T> {}
        #[allow(dead_code, reason = "if it does not hold")]
        impl<T: $trait> Probe<T> {
            const HOLDS: bool = true;
        }
        Probe::<$type>::HOLDS
    }};
}

/// A panic leaves no limiter in a broken state (I14), so that it may be used on after one is caught.
#[test]
fn everything_may_cross_catch_unwind() {
    macro_rules! survives {
        ($($type:ty),* $(,)?) => {$(
            assert!(holds!($type: UnwindSafe), "{}", stringify!($type));
            assert!(holds!($type: RefUnwindSafe), "{}", stringify!($type));
        )*};
    }
    survives!(AcquireError, TryAcquireError, ConfigError, Snapshot, ManualClock);
    survives!(Limiter, Handle, WeakHandle, Registry, Permit<'static>, OwnedPermit, Cap<'static>);
    survives!(OwnedCap);
}

/// I2: a permit that could be copied would be given back twice.
#[test]
fn permits_requests_and_limiters_cannot_be_copied() {
    assert!(holds!(Snapshot: Clone) && holds!(ManualClock: Clone));
    assert!(!holds!(Permit<'static>: Clone) && !holds!(OwnedPermit: Clone));
    assert!(!holds!(Acquire<'static>: Clone) && !holds!(AcquireOwned: Clone));
    assert!(!holds!(Cap<'static>: Clone) && !holds!(OwnedCap: Clone));
    assert!(!holds!(Limiter: Clone) && !holds!(Wait<'static>: Clone));
    assert!(!holds!(Run<'static, Ready<()>>: Clone) && !holds!(AcquireAll<'static, 1>: Clone));
    assert!(holds!(Handle: Clone) && holds!(WeakHandle: Clone));
}

/// What a program with many limiters, or many waiters, pays.
#[cfg(target_pointer_width = "64")]
#[test]
fn sizes_are_bounded() {
    #[cfg(not(feature = "stats"))]
    assert!(size_of::<Limiter>() <= 256, "{}", size_of::<Limiter>());
    assert!(size_of::<Acquire<'_>>() <= 96, "{}", size_of::<Acquire<'_>>());
    assert!(size_of::<AcquireOwned>() <= 96, "{}", size_of::<AcquireOwned>());
    // With `stats`, too.
    assert!(size_of::<Permit<'_>>() <= 16, "{}", size_of::<Permit<'_>>());
    assert!(size_of::<Handle>() <= 16, "{}", size_of::<Handle>());
    assert!(size_of::<OwnedPermit>() <= 24, "{}", size_of::<OwnedPermit>());
}
