//! An orderly end, in three steps: *close*, so that nothing new begins; *drain*, so that what has
//! begun may finish; *wait*, but not for ever.
//!
//! ```text
//! cargo run --example shutdown                  # until Ctrl-C
//! cargo run --example shutdown -- --after 2     # or for two seconds
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use grmgr::Limiter;
use tokio::time::{interval, sleep, timeout};

struct Args {
    /// Shuts down by itself after this time.
    after: Option<Duration>,
    /// How long the requests that have begun may take to finish.
    grace: Duration,
}

/// What became of the requests.
#[derive(Default)]
struct Counts {
    served: AtomicUsize,
    turned_away: AtomicUsize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(wrong) => {
            eprintln!("shutdown: {wrong} (--after SECONDS, --grace SECONDS)");
            return ExitCode::from(2);
        }
    };
    let limiter = Arc::new(Limiter::new("requests", 4));
    let counts = Arc::new(Counts::default());
    let listener = tokio::spawn(listen(limiter.clone(), counts.clone()));

    tokio::select! {
        _ = tokio::signal::ctrl_c() => println!("told to stop"),
        () = wait_for(args.after) => println!("the time is over"),
    }

    // Close: requests in line are turned away now, and so are later ones. One call reaches all of
    // them, and none can slip in behind it.
    println!("closing: {} in flight, {} in line", limiter.in_flight(), limiter.waiting());
    limiter.close();

    // Drain and wait: permits that are out stay valid until they are dropped.
    let drained = timeout(args.grace, limiter.wait()).await.is_ok();

    // Until here every client was answered, if only to be turned away.
    listener.abort();
    let (served, turned_away) = (counts.served.load(Relaxed), counts.turned_away.load(Relaxed));
    println!("{served} served, {turned_away} turned away, {} given up", limiter.in_flight());
    if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gets a request every 10 ms. That is more than four at a time can serve, so a line forms.
async fn listen(limiter: Arc<Limiter>, counts: Arc<Counts>) {
    let mut requests = interval(Duration::from_millis(10));
    loop {
        requests.tick().await;
        tokio::spawn(serve(limiter.clone(), counts.clone()));
    }
}

async fn serve(limiter: Arc<Limiter>, counts: Arc<Counts>) {
    match limiter.acquire().await {
        Ok(_permit) => {
            sleep(Duration::from_millis(200)).await;
            counts.served.fetch_add(1, Relaxed);
        }
        // The only error here; a server would answer "unavailable, try elsewhere".
        Err(_closed) => {
            counts.turned_away.fetch_add(1, Relaxed);
        }
    }
}

async fn wait_for(after: Option<Duration>) {
    match after {
        Some(after) => sleep(after).await,
        None => std::future::pending().await,
    }
}

fn args() -> Result<Args, String> {
    let mut args = Args { after: None, grace: Duration::from_secs(5) };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut seconds = || {
            let number = words.next().and_then(|text| text.parse().ok());
            let number = number.ok_or("give a number of seconds, as in 2 or 0.5")?;
            Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
        };
        match word.as_str() {
            "--after" => args.after = Some(seconds()?),
            "--grace" => args.grace = seconds()?,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(args)
}
