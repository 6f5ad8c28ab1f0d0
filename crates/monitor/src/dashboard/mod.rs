//! The dashboard: a web page, its JSON and events, and `/metrics`.
//!
//! It has a thread with an event loop of its own, whatever the program runs on. [`serve`] takes
//! the connections and bounds them, [`guard`] decides whom to answer, [`api`] and [`chart`] answer,
//! with what [`view`] makes of the limiters; [`exposition`] writes the Prometheus text, [`page`] is
//! what a browser gets.

mod answer;
mod api;
mod chart;
mod exposition;
mod guard;
mod page;
mod serve;
mod view;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::StartError;
use crate::engine::Engine;
use crate::mutex::lock;
use crate::source::Source;

use guard::Guard;

/// What the builder was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) address: String,
    pub(crate) token: Option<String>,
    pub(crate) hosts: Vec<String>,
}

/// The running dashboard. Dropping it closes all connections and joins the thread.
#[derive(Debug)]
pub(crate) struct Dashboard {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    engine: Arc<Engine>,
    source: Source,
    guard: Guard,
    limits: serve::Limits,
}

/// The cause of what is changed here.
pub(crate) const CAUSE: &str = "dashboard";
/// Shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 16;

impl Dashboard {
    pub(crate) fn start(options: Options, engine: Arc<Engine>) -> Result<Self, StartError> {
        if let Some(token) = &options.token {
            check_token(token)?;
        }
        let wrong =
            |reason: String| StartError::Address { address: options.address.clone(), reason };
        let listener = bind(&options.address).map_err(wrong)?;
        let failed = |error: io::Error| wrong(error.to_string());
        let address = listener.local_addr().map_err(failed)?;
        if options.token.is_none() && !address.ip().is_loopback() {
            return Err(StartError::Token {
                reason: format!(
                    "{address} can be reached from other machines, so it needs a token: set \
                     one with dashboard_token, or listen at 127.0.0.1"
                ),
            });
        }
        listener.set_nonblocking(true).map_err(failed)?;
        let source = lock(&engine.sampler).source().clone();
        let guard = Guard::new(options.token, !address.ip().is_loopback(), options.hosts);
        let app = Arc::new(App { engine, source, guard, limits: serve::Limits::default() });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // For queries of the history.
            .max_blocking_threads(2)
            .build()
            .map_err(StartError::Thread)?;
        let run = move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => serve::serve(listener, app, stopped).await,
                    Err(error) => tracing::error!(%error, "dashboard: cannot listen"),
                }
            });
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("grmgr-dashboard".into()).spawn(run);
        let thread = thread.map_err(StartError::Thread)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn check_token(token: &str) -> Result<(), StartError> {
    if token.len() < SHORTEST_TOKEN {
        let reason = format!("it has {} characters: use {SHORTEST_TOKEN} or more", token.len());
        return Err(StartError::Token { reason });
    }
    if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        let reason = "use ASCII letters, digits and signs without blanks: it goes into a header";
        return Err(StartError::Token { reason: reason.into() });
    }
    Ok(())
}

fn bind(address: &str) -> Result<TcpListener, String> {
    const EXAMPLE: &str = "give an address and a port, such as 127.0.0.1:9187";
    let mut addresses = address.to_socket_addrs().map_err(|error| format!("{error}: {EXAMPLE}"))?;
    let first = addresses.next().ok_or_else(|| format!("it has no address: {EXAMPLE}"))?;
    TcpListener::bind(first).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there: choose another port, or 0 for any free one".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        io::ErrorKind::PermissionDenied => {
            "this user may not listen there: choose a port above 1023".into()
        }
        _ => error.to_string(),
    })
}
