//! grmgr-tower beside tower's own `ConcurrencyLimit`, and grmgr-stream beside `buffer_unordered`: the
//! same work, the peers taking turns round by round, the ratios taken within each round.
//!
//! ```text
//! cargo run --release -p grmgr-benches --bin companions
//! cargo run --release -p grmgr-benches --bin companions -- --quick   # whether it runs
//! cargo run --release -p grmgr-benches --bin companions -- --check   # fails where a bar is missed
//! cargo run --release -p grmgr-benches --bin companions -- --tower   # that part alone, or --stream
//! ```

use std::convert::Infallible;
use std::env::args;
use std::future::ready;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use grmgr::{Handle, Limiter};
use grmgr_benches::stats::{median_and_spread, quantile};
use grmgr_stream::StreamExt as _;
use grmgr_tower::{LimitLayer, Until};
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio::time::sleep;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

/// No more than the peer, and a tie band.
const TOWER: f64 = 1.03;
/// Of `buffer_unordered` at a fixed number.
const STREAM: f64 = 1.1;

struct Size {
    rounds: usize,
    requests: usize,
}

fn main() -> ExitCode {
    let options: Vec<String> = args().skip(1).collect();
    let has = |option: &str| options.iter().any(|given| given == option);
    if let Some(unknown) = options
        .iter()
        .find(|given| !["--quick", "--check", "--tower", "--stream"].contains(&given.as_str()))
    {
        eprintln!("unknown option {unknown}: there are --quick, --check, --tower and --stream");
        return ExitCode::FAILURE;
    }
    let size = if has("--quick") {
        Size { rounds: 2, requests: 1_000 }
    } else {
        Size { rounds: 41, requests: 50_000 }
    };
    let mut met = true;

    println!("nanoseconds a request\n");
    if !has("--stream") {
        met &= free(&size);
        met &= http(&size);
        met &= route(&size);
        met &= busy(&size);
    }
    if !has("--tower") {
        println!("\nnanoseconds an item, 32 at once\n");
        for yields in [0, 1, 4, 16] {
            met &= fixed(&size, yields);
        }
        println!("\nitems a second, each of which takes 1 ms\n");
        moving(&size);
    }

    if has("--check") && !met {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

type Run<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// Runs all of them in turns. The first is the peer, and has no bar; nor has one in brackets.
fn row(what: &str, size: &Size, operations: usize, bar: f64, mut runs: Vec<Run<'_>>) -> bool {
    let mut samples = vec![Vec::new(); runs.len()];
    let count = runs.len();
    // The first round pays for cold caches.
    for round in 0..=size.rounds {
        for turn in 0..count {
            let which = (round + turn) % count;
            let began = Instant::now();
            (runs[which].1)();
            let each = began.elapsed().as_nanos() as f64 / operations as f64;
            if round > 0 {
                samples[which].push(each);
            }
        }
    }
    println!("{what}");
    let mut met = true;
    for ((name, _), each) in runs.iter().zip(&samples) {
        let (median, spread) = median_and_spread(each);
        let mut ratios: Vec<f64> = each.iter().zip(&samples[0]).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = quantile(&ratios, 0.5);
        let missed = !name.starts_with('(') && ratio > bar;
        met &= !missed;
        println!(
            "  {name:<38}{median:>9.1}  ±{:>3.0} %{ratio:>7.2}{}",
            spread * 100.0,
            if missed { "  missed" } else { "" },
        );
    }
    met
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn limiter(ceiling: usize) -> Handle {
    Limiter::builder("bench").ceiling(ceiling).max(64).build().expect("it makes sense").into()
}

static STATIC: Limiter = Limiter::const_new("bench", 8);

/// As many requests, one after the other, each on a clone, as servers do it.
fn requests<S, R>(service: S, size: &Size, request: impl Fn() -> R) -> impl FnMut()
where
    S: Service<R> + Clone,
    S::Error: std::fmt::Debug,
{
    let requests = size.requests;
    move || {
        futures_lite::future::block_on(async {
            for _ in 0..requests {
                black_box(service.clone().oneshot(request()).await.expect("served"));
            }
        });
    }
}

/// Permits are free, nobody waits.
fn free(size: &Size) -> bool {
    let inner = service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
    let ours = LimitLayer::new(limiter(8));
    let in_time = ours.clone().queue_for(Duration::from_secs(1));
    let shed = ours.clone().shed();
    let their_shed = ConcurrencyLimitLayer::new(8).layer(inner);
    let their_shed = LoadShedLayer::new().layer(their_shed);
    let runs: Vec<Run<'_>> = vec![
        (
            "tower ConcurrencyLimit",
            Box::new(requests(ConcurrencyLimitLayer::new(8).layer(inner), size, || 1)),
        ),
        ("grmgr", Box::new(requests(ours.layer(inner), size, || 1))),
        (
            "grmgr, limiter in a static",
            Box::new(requests(LimitLayer::new(&STATIC).layer(inner), size, || 1)),
        ),
        ("grmgr, queue_for", Box::new(requests(in_time.layer(inner), size, || 1))),
        ("grmgr, shed", Box::new(requests(shed.layer(inner), size, || 1))),
        ("(tower LoadShed around ConcurrencyLimit)", Box::new(requests(their_shed, size, || 1))),
        ("(no limit)", Box::new(requests(inner, size, || 1))),
    ];
    row("a service, permits free", size, size.requests, TOWER, runs)
}

type Body = Full<bytes::Bytes>;

/// HTTP: the body carries the permit and is dropped.
fn http(size: &Size) -> bool {
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Body::from("an answer"))))
    });
    let ask = || Request::new(());
    let ours = LimitLayer::new(limiter(8)).respond();
    let until_response = ours.clone().hold(Until::Response).layer(inner);
    let of_static = LimitLayer::new(&STATIC).respond().layer(inner);
    let runs: Vec<Run<'_>> = vec![
        (
            "tower ConcurrencyLimit",
            Box::new(requests(ConcurrencyLimitLayer::new(8).layer(inner), size, ask)),
        ),
        ("grmgr, until the body ends, answering", Box::new(requests(ours.layer(inner), size, ask))),
        ("the same, limiter in a static", Box::new(requests(of_static, size, ask))),
        ("grmgr, until the response", Box::new(requests(until_response, size, ask))),
        ("(no limit)", Box::new(requests(inner, size, ask))),
    ];
    row("an HTTP service, permits free", size, size.requests, TOWER, runs)
}

/// The boxed services of which axum's router is made: a clone allocates.
fn route(size: &Size) -> bool {
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Body::from("an answer"))))
    });
    let inner = BoxCloneSyncService::new(inner);
    let ask = || Request::new(());
    let ours = BoxCloneSyncService::new(LimitLayer::new(limiter(8)).respond().layer(inner.clone()));
    let of_static = LimitLayer::new(&STATIC).respond().layer(inner.clone());
    let of_static = BoxCloneSyncService::new(of_static);
    let theirs = BoxCloneSyncService::new(ConcurrencyLimitLayer::new(8).layer(inner.clone()));
    let runs: Vec<Run<'_>> = vec![
        ("tower ConcurrencyLimit", Box::new(requests(theirs, size, ask))),
        ("grmgr, until the body ends, answering", Box::new(requests(ours, size, ask))),
        ("the same, limiter in a static", Box::new(requests(of_static, size, ask))),
        ("(no limit)", Box::new(requests(inner, size, ask))),
    ];
    row("a boxed HTTP service, as in axum's router, permits free", size, size.requests, TOWER, runs)
}

/// 64 tasks, 8 permits, work that yields once.
fn busy(size: &Size) -> bool {
    const TASKS: usize = 64;
    let each = size.requests / TASKS;
    let inner = service_fn(async |n: u64| {
        yield_now().await;
        Ok::<_, Infallible>(n)
    });
    fn crowd<S>(service: S, each: usize) -> impl FnMut()
    where
        S: Service<u64> + Clone + Send + 'static,
        S::Error: std::fmt::Debug,
        S::Future: Send,
    {
        let runtime = runtime();
        move || {
            let task = |service: S| async move {
                for _ in 0..each {
                    if service.clone().oneshot(1).await.is_err() {
                        panic!("not served");
                    }
                }
            };
            let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(task(service.clone()))).collect();
            runtime.block_on(async {
                for done in join_all(tasks).await {
                    done.expect("no panic");
                }
            });
        }
    }
    // One semaphore for all clones, as a layer around a service has it.
    let theirs = ConcurrencyLimitLayer::new(8).layer(inner);
    let ours = LimitLayer::new(limiter(8)).layer(inner);
    let in_time = LimitLayer::new(limiter(8)).queue_for(Duration::from_secs(10)).layer(inner);
    let runs: Vec<Run<'_>> = vec![
        ("tower ConcurrencyLimit", Box::new(crowd(theirs, each))),
        ("grmgr", Box::new(crowd(ours, each))),
        ("(grmgr, queue_for: with a time limit)", Box::new(crowd(in_time, each))),
    ];
    row("64 tasks, 8 permits, one worker", size, each * TASKS, TOWER, runs)
}

/// 32 at once, and work that yields so many times. There is a bar for work of a microsecond or more:
/// what is less shows what an item costs in itself.
fn fixed(size: &Size, yields: usize) -> bool {
    let bar = if yields < 16 { f64::INFINITY } else { STREAM };
    const AT_ONCE: usize = 32;
    let items = size.requests / 5;
    let work = move |n: usize| async move {
        for _ in 0..yields {
            yield_now().await;
        }
        n
    };
    static STATIC: Limiter = Limiter::const_new("bench", AT_ONCE);
    let run = |limited: Option<Handle>, ordered: bool| {
        let runtime = runtime();
        move || {
            let source = stream::iter(0..items);
            let sum = runtime.block_on(async {
                match (limited.clone(), ordered) {
                    (Some(limiter), true) => {
                        let results = source.map_limited(limiter, work);
                        results.fold(0, async |sum, n| sum + n.expect("open")).await
                    }
                    (Some(limiter), false) => {
                        let results = source.map_limited_unordered(limiter, work);
                        results.fold(0, async |sum, n| sum + n.expect("open")).await
                    }
                    (None, true) => {
                        source.map(work).buffered(AT_ONCE).fold(0, async |sum, n| sum + n).await
                    }
                    (None, false) => {
                        let results = source.map(work).buffer_unordered(AT_ONCE);
                        results.fold(0, async |sum, n| sum + n).await
                    }
                }
            });
            assert_eq!(sum, items * (items - 1) / 2);
        }
    };
    let unordered: Vec<Run<'_>> = vec![
        ("buffer_unordered", Box::new(run(None, false))),
        ("map_limited_unordered", Box::new(run(Some(limiter(AT_ONCE)), false))),
        ("the same, limiter in a static", Box::new(run(Some(STATIC.handle()), false))),
    ];
    let what = format!("work that yields {yields} times");
    let met = row(&what, size, items, bar, unordered);
    let ordered: Vec<Run<'_>> = vec![
        ("buffered", Box::new(run(None, true))),
        ("map_limited", Box::new(run(Some(limiter(AT_ONCE)), true))),
        ("the same, limiter in a static", Box::new(run(Some(STATIC.handle()), true))),
    ];
    row(&format!("{what}, in order"), size, items, bar, ordered) && met
}

/// One stream whose ceiling goes from 2 to 32 to 4, beside three that are fixed.
fn moving(size: &Size) {
    let runtime = runtime();
    let seconds = if size.rounds > 2 { 2.0 } else { 0.1 };
    let work = async |n: u64| {
        sleep(Duration::from_millis(1)).await;
        n
    };
    runtime.block_on(async {
        let limiter = limiter(2);
        let mut results = Box::pin(stream::iter(0..).map_limited_unordered(limiter.clone(), work));
        for ceiling in [2, 32, 4] {
            let _ = limiter.set_ceiling(ceiling);
            let ours = rate(&mut results, seconds).await;
            let mut fixed = Box::pin(stream::iter(0..).map(work).buffer_unordered(ceiling));
            let theirs = rate(&mut fixed, seconds).await;
            println!(
                "  ceiling {ceiling:>2}: {ours:>7.0}; buffer_unordered({ceiling}): {theirs:>7.0}; \
                 ratio {:.2}",
                ours / theirs
            );
        }
    });
}

async fn rate<T>(results: &mut (impl futures_util::Stream<Item = T> + Unpin), seconds: f64) -> f64 {
    let (began, mut items) = (Instant::now(), 0.0);
    while began.elapsed().as_secs_f64() < seconds {
        results.next().await;
        items += 1.0;
    }
    items / began.elapsed().as_secs_f64()
}
