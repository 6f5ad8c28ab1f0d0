//! A stream whose function borrows may be sent to another thread: what a task that is spawned needs.

mod common;

use common::handle;
use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use grmgr::{AcquireError, Handle};
use grmgr_stream::StreamExt as _;
use tokio::task::yield_now;

async fn each(limiter: Handle, base: String) -> Result<(), AcquireError> {
    let numbers = || stream::iter(0..4_u32);
    let base = &base;
    numbers().for_each_limited(limiter.clone(), async |n| println!("{base}{n}")).await?;
    let tried = numbers().map(Ok::<_, AcquireError>);
    tried
        .try_for_each_limited(limiter, |n| async move {
            yield_now().await;
            println!("{base}{n}");
            Ok(())
        })
        .await
}

async fn mapped(limiter: Handle, base: String) -> usize {
    let numbers = || stream::iter(0..4_u32);
    let text = async |n: u32| {
        yield_now().await;
        format!("{base}{n}")
    };
    let ordered = numbers().map_limited(limiter.clone(), &text).count().await;
    let unordered = numbers().map_limited_unordered(limiter.clone(), text).count().await;
    let names = [base.clone(), base.clone()];
    // Items that are borrowed need a box, as they do with `buffered`.
    let lengths = stream::iter(&names).map_limited(limiter, async |name| name.len()).boxed();
    ordered + unordered + lengths.count().await
}

async fn staged(fetch: Handle, store: Handle, base: String) -> Result<usize, AcquireError> {
    let base = &base;
    stream::iter((0..4_u32).map(Ok))
        .try_map_limited_unordered(fetch, async |n| {
            yield_now().await;
            Ok(format!("{base}{n}"))
        })
        .try_map_limited(store, async |text: String| Ok(text.len() + base.len()))
        .try_fold(0, async |sum, length| Ok(sum + length))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_whose_functions_borrow_can_be_spawned() {
    let (fetch, store) = (handle(2, 2), handle(1, 1));
    tokio::spawn(each(fetch.clone(), "base".into())).await.expect("no panic").expect("open");
    assert_eq!(tokio::spawn(mapped(fetch.clone(), "base".into())).await.expect("no panic"), 10);
    let sum = tokio::spawn(staged(fetch, store, "base".into())).await.expect("no panic");
    assert_eq!(sum, Ok(4 * (5 + 4)));
}
