//! A real server whose knee moves, and a client whose limit follows it.
//!
//! An axum server has a fixed number of workers; each is busy with a request for 50 ms. A client asks it
//! over HTTP for twice as much as it can do, limited adaptively. While it runs the workers become fewer, and
//! more again. The program prints what it saw and draws it. It fails if the limit has not followed; that is only
//! judged if it runs for 150 s or longer, as a knee that has gone up is noticed after a rest of up to 24 s.
//!
//! ```sh
//! cargo run --release -p grmgr-adaptive --example moving_knee -- --seconds 90 --chart knee.svg
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use grmgr::{Limiter, SystemClock};
use grmgr_adaptive::{Adaptive, Experiment};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::{interval, sleep, timeout};

#[path = "../sim/src/chart.rs"]
mod chart;

use chart::{Line, Panel};
use plotters::style::RGBColor;

const BUSY: Duration = Duration::from_millis(50);
/// The workers in each third of the time.
const WORKERS: [usize; 3] = [12, 4, 12];
/// Requests a second: twice what 12 workers can do.
const RATE: u64 = 480;
/// How long a request stands in line at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// The server's workers are a limiter, too: one whose ceiling is moved by hand.
async fn work(State(workers): State<Arc<Limiter>>) -> &'static str {
    match workers.acquire().await {
        Ok(_worker) => {
            sleep(BUSY).await;
            "done"
        }
        Err(_) => "closed",
    }
}

#[derive(Default)]
struct Seen {
    completed: AtomicU64,
    micros: AtomicU64,
    failed: AtomicUsize,
}

struct Args {
    seconds: u64,
    chart: Option<String>,
}

fn args() -> Result<Args, Box<dyn Error>> {
    let mut args = Args { seconds: 180, chart: None };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seconds" => args.seconds = value.parse()?,
            "--chart" => args.chart = Some(value),
            _ => return Err(format!("unknown: {name}").into()),
        }
    }
    Ok(args)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Args { seconds, chart } = args()?;

    let workers = Arc::new(Limiter::builder("workers").ceiling(WORKERS[0]).max(100).build()?);
    let app = Router::new().route("/", get(work)).with_state(workers.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/", listener.local_addr()?).parse::<axum::http::Uri>()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    // It starts far too low, and may go far too high.
    let limiter = Limiter::builder("backend").ceiling(200).clock(SystemClock).build()?;
    let backend = Adaptive::builder(limiter).controller(Experiment::new(2).max(200)).build()?;
    let client: Client<_, Empty<axum::body::Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let seen = Arc::new(Seen::default());

    let load = tokio::spawn({
        let (backend, seen) = (backend.clone(), seen.clone());
        async move {
            let mut ticks = interval(Duration::from_secs(1) / RATE as u32);
            loop {
                ticks.tick().await;
                let (backend, seen) = (backend.clone(), seen.clone());
                let (client, address) = (client.clone(), address.clone());
                tokio::spawn(async move {
                    let Ok(Ok(permit)) = timeout(PATIENCE, backend.acquire_owned()).await else {
                        return;
                    };
                    let begun = Instant::now();
                    let answer = match client.get(address).await {
                        Ok(answer) => answer.into_body().collect().await.is_ok(),
                        Err(_) => false,
                    };
                    if answer {
                        permit.success();
                        seen.completed.fetch_add(1, Relaxed);
                        seen.micros.fetch_add(begun.elapsed().as_micros() as u64, Relaxed);
                    } else {
                        permit.ignore();
                        seen.failed.fetch_add(1, Relaxed);
                    }
                });
            }
        }
    });

    let (mut knee, mut ceiling, mut rate, mut latency) = (vec![], vec![], vec![], vec![]);
    let begun = Instant::now();
    let (mut completed, mut micros, mut last) = (0, 0, 0.0);
    let mut ticks = interval(Duration::from_millis(250));
    ticks.tick().await;
    while begun.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        let now = begun.elapsed().as_secs_f64();
        let third = (now * 3.0 / seconds as f64) as usize;
        let here = WORKERS[third.min(2)];
        if workers.setting() != here {
            let _ = workers.set_ceiling(here);
        }
        let (all, long) = (seen.completed.load(Relaxed), seen.micros.load(Relaxed));
        knee.push((now, here as f64));
        ceiling.push((now, backend.limiter().ceiling() as f64));
        rate.push((now, (all - completed) as f64 / (now - last)));
        if all > completed {
            latency.push((now, (long - micros) as f64 / 1000.0 / (all - completed) as f64));
        }
        (completed, micros, last) = (all, long, now);
    }
    load.abort();

    // How it went in the second half of each third, when the limit has had time to follow.
    let mut well = true;
    let each = ceiling.len() / 3;
    println!("workers  ceiling  requests/s  of capacity");
    for (third, &count) in WORKERS.iter().enumerate() {
        let half = |points: &[(f64, f64)]| {
            let part = &points[third * each + each / 2..(third + 1) * each];
            part.iter().map(|point| point.1).sum::<f64>() / part.len().max(1) as f64
        };
        let capacity = count as f64 / BUSY.as_secs_f64();
        let (at, done) = (half(&ceiling), half(&rate));
        println!("{count:7}  {at:7.1}  {done:10.0}  {:10.0}%", done / capacity * 100.0);
        well &= done > 0.8 * capacity && at < 2.0 * count as f64;
    }
    println!("{} completed, {} failed", completed, seen.failed.load(Relaxed));

    if let Some(path) = chart {
        let line = |name: &str, colour, points: Vec<(f64, f64)>| Line {
            name: name.to_owned(),
            colour,
            points,
        };
        let panels = [
            Panel {
                title: "Workers of the server, and the ceiling that the client finds".to_owned(),
                top: 32.0,
                lines: vec![
                    line("workers", RGBColor(0x88, 0x88, 0x88), knee),
                    line("ceiling", RGBColor(0xd6, 0x27, 0x28), ceiling),
                ],
            },
            Panel {
                title: "Requests a second".to_owned(),
                top: 320.0,
                lines: vec![line("completed", RGBColor(0x2c, 0xa0, 0x2c), rate)],
            },
            Panel {
                title: "Mean latency in ms; a worker is busy for 50 ms".to_owned(),
                top: 200.0,
                lines: vec![line("latency", RGBColor(0x1f, 0x77, 0xb4), latency)],
            },
        ];
        std::fs::write(&path, chart::draw(&panels, seconds as f64)?)?;
        println!("{path} is drawn");
    }
    if well || seconds < 150 { Ok(()) } else { Err("the limit has not followed the knee".into()) }
}
