//! The clients.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Who asks, and how many at once. The greedy tenant asks for more than it may have.
const CLIENTS: [(&str, usize); 4] =
    [("/search", 20), ("/export", 4), ("/tenants/greedy", 16), ("/tenants/modest", 1)];

pub(crate) struct Load {
    clients: JoinSet<()>,
    answers: Arc<Mutex<Answers>>,
}

/// How many were served and turned away, by path.
#[derive(Default)]
pub(crate) struct Answers {
    all: BTreeMap<&'static str, (u64, u64)>,
    since_last: BTreeMap<&'static str, (u64, u64)>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let answers = Arc::new(Mutex::default());
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut clients = JoinSet::new();
        for (path, number) in CLIENTS {
            let uri: Uri = format!("http://{address}{path}").parse().expect("an address");
            for _ in 0..number {
                clients.spawn(ask(client.clone(), path, uri.clone(), Arc::clone(&answers)));
            }
        }
        Self { clients, answers }
    }

    pub(crate) fn since_last(&self) -> BTreeMap<&'static str, (u64, u64)> {
        std::mem::take(&mut lock(&self.answers).since_last)
    }

    pub(crate) fn stop(self) -> Answers {
        drop(self.clients);
        std::mem::take(&mut lock(&self.answers))
    }
}

fn lock(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().expect("no panic")
}

async fn ask(
    client: Client<HttpConnector, Empty<Bytes>>,
    path: &'static str,
    uri: Uri,
    answers: Arc<Mutex<Answers>>,
) {
    loop {
        let response = client.get(uri.clone()).await.expect("the server answers");
        let status = response.status();
        response.into_body().collect().await.expect("the server sends all of it");
        let served = status == StatusCode::OK;
        assert!(served || status == StatusCode::SERVICE_UNAVAILABLE, "{path}: {status}");
        lock(&answers).count(path, served);
        if !served {
            // It should be a second, as `Retry-After` says. This is a load.
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Answers {
    fn count(&mut self, path: &'static str, served: bool) {
        for counts in [&mut self.all, &mut self.since_last] {
            let (ok, turned_away) = counts.entry(path).or_default();
            *(if served { ok } else { turned_away }) += 1;
        }
    }

    /// What has to be so, however fast the machine.
    pub(crate) fn check(&self) {
        for (path, _) in CLIENTS {
            assert!(
                self.all.get(path).is_some_and(|(served, _)| *served > 0),
                "{path}: nobody was served"
            );
        }
        for path in ["/search", "/export", "/tenants/greedy"] {
            assert!(self.all[path].1 > 0, "{path}: nobody was turned away");
        }
        assert_eq!(self.all["/tenants/modest"].1, 0, "a modest tenant was turned away");
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.all.iter().map(|(path, (served, turned_away))| {
            (path, format!("{served} served, {turned_away} turned away"))
        });
        f.debug_map().entries(lines).finish()
    }
}
