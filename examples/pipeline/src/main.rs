//! A crawler as a pipeline of three stages, each under a limit of its own that moves while it runs:
//! pages are fetched over a real socket, parsed on threads for blocking work, and stored in batches.
//!
//! ```text
//! cargo run --release -p pipeline-example -- [PAGES [DASHBOARD]]
//! ```
//!
//! The site that it crawls is its own. A third of the way the fetches go from 2 to 32 at once, at two
//! thirds to 4, as an operator would do it; watch the pages per second follow. The dashboard is at the
//! address that it prints, with buttons for the same.

mod site;

use std::env;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{TryStreamExt as _, stream};
use grmgr::{Handle, Limiter, Registry};
use grmgr_monitor::Monitor;
use grmgr_stream::StreamExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::site::Site;

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = env::args().skip(1);
    let pages: usize = arguments.next().map_or(Ok(3_000), |text| text.parse())?;
    let dashboard = arguments.next().unwrap_or_else(|| "127.0.0.1:9188".into());

    let limiter = |name: &'static str, ceiling| {
        let limiter = Limiter::builder(name).ceiling(ceiling).max(64).build()?;
        Ok::<Handle, Failed>(Registry::global().register(limiter)?)
    };
    let (fetch, parse, store) = (limiter("fetch", 2)?, limiter("parse", 2)?, limiter("store", 4)?);
    let monitor = Monitor::builder(Registry::global())
        .sample_every(Duration::from_secs(1))
        .dashboard(dashboard)
        .start()?;
    if let Some(address) = monitor.dashboard_address() {
        println!("dashboard: http://{address}/");
    }
    let site = Site::start().await?;
    let address = site.address();

    // The pipeline. Each stage takes from the one before it only as much as it has permits for.
    let words = stream::iter((0..pages).map(Ok::<usize, Failed>))
        .try_map_limited_unordered(fetch.clone(), move |page| async move {
            Ok(get(address, page).await?)
        })
        // The stream holds the permit, and the thread does the work. If the stream is dropped, the page is
        // parsed to its end without a permit: here for a moment. Where that matters, acquire a permit of a
        // further limiter here, and move it into the closure.
        .try_map_limited(parse, async |text: String| {
            Ok(spawn_blocking(move || parsed(&text)).await?)
        })
        .try_chunks(25)
        .map_err(|error| error.1)
        .try_map_limited(store, stored);

    let mut progress = Progress::new(pages, fetch.clone(), &site);
    let mut words = std::pin::pin!(words);
    let crawl = async {
        while let Some((pages, words)) = words.try_next().await? {
            progress.add(pages, words);
        }
        Ok::<_, Failed>(())
    };
    tokio::select! {
        crawled = crawl => crawled?,
        told = tokio::signal::ctrl_c() => {
            told?;
            println!("stopped");
            return Ok(());
        }
    }
    progress.check();
    for limiter in Registry::global().limiters() {
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0), "{limiter:?}");
    }
    monitor.shutdown();
    Ok(())
}

async fn get(address: SocketAddr, page: usize) -> io::Result<String> {
    let mut server = TcpStream::connect(address).await?;
    server
        .write_all(format!("GET /{page} HTTP/1.1\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    server.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("page {page}: {answer:?}"))),
    }
}

fn parsed(text: &str) -> usize {
    text.split_whitespace().count()
}

/// A batch on its way to a database: how many pages, how many words.
async fn stored(batch: Vec<usize>) -> Result<(usize, usize), Failed> {
    sleep(Duration::from_millis(5)).await;
    Ok((batch.len(), batch.iter().sum()))
}

/// What has been done, and the operator who turns the limit.
struct Progress<'a> {
    pages: usize,
    fetch: Handle,
    site: &'a Site,
    done: usize,
    words: usize,
    began: Instant,
    /// Whether no more are fetched than the ceiling allows. What began before it was lowered goes on.
    settled: bool,
    /// Pages per second, and the most that were fetched at once, of each third.
    thirds: Vec<(f64, usize)>,
}

impl<'a> Progress<'a> {
    fn new(pages: usize, fetch: Handle, site: &'a Site) -> Self {
        let thirds = Vec::new();
        let began = Instant::now();
        Self { pages, fetch, site, done: 0, words: 0, began, settled: true, thirds }
    }

    fn add(&mut self, pages: usize, words: usize) {
        self.done += pages;
        self.words += words;
        if !self.settled && self.fetch.in_flight() <= self.fetch.ceiling() {
            self.settled = true;
            let _ = self.site.most_at_once(); // from here on
        }
        if self.done < (self.thirds.len() + 1) * self.pages / 3 {
            return;
        }
        let per_second = self.pages as f64 / 3.0 / self.began.elapsed().as_secs_f64();
        let ceiling = self.fetch.ceiling();
        let most = self.site.most_at_once();
        println!(
            "{:>6} pages, {:>9} words: {per_second:>6.0} pages/s with a ceiling of {ceiling}; the site \
             has seen {most} at once",
            self.done, self.words,
        );
        self.thirds.push((per_second, most));
        if let Some(&next) = [32, 4].get(self.thirds.len() - 1) {
            println!("fetch: {}", self.fetch.set_ceiling(next));
            self.settled = self.fetch.in_flight() <= next;
        }
        self.began = Instant::now();
    }

    /// What has to be so, however fast the machine.
    fn check(&self) {
        assert_eq!((self.done, self.words), (self.pages, self.pages * site::WORDS));
        let [(slow, first), (fast, second), (_, third)] = self.thirds[..] else {
            panic!("three thirds")
        };
        assert!(first <= 2 && second <= 32 && third <= 4, "{:?}", self.thirds);
        assert!(self.settled);
        assert!(fast > slow, "{:?}", self.thirds);
    }
}
