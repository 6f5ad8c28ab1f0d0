//! Asking the dashboard.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What the dashboard shows at one moment; of each part what is used here.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub(super) total: usize,
    pub(super) limiters: Vec<Limiter>,
    pub(super) history: Option<History>,
    pub(super) pressure: Option<Pressure>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Limiter {
    pub(super) name: String,
    pub(super) in_flight: usize,
    pub(super) ceiling: usize,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) waiting: usize,
    pub(super) paused: bool,
    pub(super) closed: bool,
    pub(super) wait_p50_ms: Option<f64>,
    pub(super) wait_p99_ms: Option<f64>,
    pub(super) per_second: f64,
    pub(super) refused: u64,
    pub(super) hold_ms: u64,
    pub(super) last_change: Option<Change>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Change {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) cause: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct History {
    pub(super) error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pressure {
    pub(super) verdict: String,
    pub(super) avg10: Option<f64>,
}

/// A key's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Press {
    One { limiter: String, action: &'static str, ceiling: Option<usize> },
    All { action: &'static str },
}

/// What has been heard.
#[derive(Debug)]
pub(super) enum News {
    Frame(Frame),
    /// What came of a press, in words.
    Outcome(String),
    /// No answer.
    Lost(String),
}

/// The two ends of the thread that asks.
pub(super) struct Client {
    news: Receiver<News>,
    presses: Sender<Press>,
}

const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

struct Dashboard {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Asks once, to see that there is a dashboard, and then goes on asking.
    pub(super) fn connect(address: &str, token: Option<String>) -> Result<Self, String> {
        let base = match address.trim_end_matches('/') {
            https if https.starts_with("https://") => {
                return Err("it speaks no https: reach it through a tunnel".into());
            }
            http if http.starts_with("http://") => http.to_owned(),
            plain => format!("http://{plain}"),
        };
        let config = ureq::Agent::config_builder();
        let config = config.timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
        let dashboard = Dashboard { agent: config.new_agent(), base, token };
        let first = dashboard.frame()?;
        let (tell, news) = channel();
        let (presses, pressed) = channel();
        let _ = tell.send(News::Frame(first));
        thread::Builder::new()
            .name("grmgr-top".into())
            .spawn(move || dashboard.run(&tell, &pressed))
            .map_err(|error| error.to_string())?;
        Ok(Self { news, presses })
    }

    pub(super) fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub(super) fn press(&self, press: Press) {
        let _ = self.presses.send(press);
    }
}

impl Dashboard {
    fn run(&self, tell: &Sender<News>, pressed: &Receiver<Press>) {
        let mut next = Instant::now() + EVERY;
        loop {
            match pressed.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(press) => {
                    let outcome =
                        self.press(&press).unwrap_or_else(|error| format!("not done: {error}"));
                    let _ = tell.send(News::Outcome(outcome));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let news = self.frame().map_or_else(News::Lost, News::Frame);
            next = Instant::now() + EVERY;
            if tell.send(news).is_err() {
                return;
            }
        }
    }

    fn frame(&self) -> Result<Frame, String> {
        self.read(self.agent.get(format!("{}/api/limiters?limit=1000", self.base)).call())
    }

    fn press(&self, press: &Press) -> Result<String, String> {
        let (path, body) = match press {
            Press::One { limiter, action, ceiling } => {
                ("/api/adjust", json!({ "limiter": limiter, "action": action, "ceiling": ceiling }))
            }
            Press::All { action } => ("/api/adjust-all", json!({ "action": action })),
        };
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer: Value = self.read(request.send_json(body))?;
        Ok(match &answer {
            Value::Array(all) => {
                let changed = all.iter().filter(|one| one["result"] == "changed").count();
                format!("{changed} of {} changed", all.len())
            }
            one => in_words(one),
        })
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, String> {
        let mut answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.body_mut();
        if !status.is_success() {
            let told = body.read_json::<Value>().ok();
            let told = told.and_then(|told| Some(told["error"].as_str()?.to_owned()));
            return Err(told.unwrap_or_else(|| format!("it answered {status}")));
        }
        body.read_json().map_err(|error| format!("it answered something else: {error}"))
    }
}

fn in_words(outcome: &Value) -> String {
    let name = outcome["name"].as_str().unwrap_or_default();
    match outcome["result"].as_str() {
        Some("changed") => format!("{name}: {} → {}", outcome["from"], outcome["to"]),
        Some("held") => {
            let seconds = outcome["remaining_ms"].as_u64().unwrap_or(0).div_ceil(1_000);
            format!("{name}: held for another {seconds} s")
        }
        Some("unchanged") => format!("{name}: unchanged, {} already", outcome["ceiling"]),
        Some(other) => format!("{name}: {other}"),
        None => String::new(),
    }
}
