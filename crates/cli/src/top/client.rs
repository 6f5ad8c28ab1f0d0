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
    pub(super) matching: usize,
    pub(super) summary: Summary,
    pub(super) limiters: Vec<Limiter>,
    pub(super) detail: Option<Detail>,
    pub(super) history: Option<History>,
    pub(super) pressure: Option<Pressure>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Summary {
    pub(super) full: usize,
    pub(super) waiting: usize,
    pub(super) paused: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Limiter {
    pub(super) name: String,
    pub(super) in_flight: usize,
    pub(super) ceiling: usize,
    pub(super) setting: usize,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) waiting: usize,
    pub(super) paused: bool,
    pub(super) closed: bool,
    pub(super) capped_by: Option<String>,
    pub(super) share_waited: Option<f64>,
    pub(super) wait_p50_ms: Option<f64>,
    pub(super) wait_p99_ms: Option<f64>,
    pub(super) per_second: f64,
    pub(super) cancelled: u64,
    pub(super) refused: u64,
    pub(super) peak_in_flight: usize,
    pub(super) peak_waiting: usize,
    pub(super) hold_up_ms: u64,
    pub(super) hold_down_ms: u64,
    pub(super) last_change: Option<Change>,
}

/// What is told beside of one limiter.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    pub(super) limiter: Limiter,
    pub(super) step_up: String,
    pub(super) step_down: String,
    pub(super) holds_up_ms: u64,
    pub(super) holds_down_ms: u64,
    pub(super) caps: Vec<Cap>,
    pub(super) reasons: std::collections::BTreeMap<String, u64>,
    pub(super) holders: Vec<Holder>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cap {
    pub(super) cause: String,
    pub(super) at: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Holder {
    pub(super) label: String,
    pub(super) count: usize,
    pub(super) held_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Change {
    pub(super) said: String,
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

/// Which limiters are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Part of the names.
    pub(super) part: String,
    pub(super) order: &'static str,
    /// All about this one.
    pub(super) detail: Option<String>,
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Show(Wanted),
    One { limiter: String, action: &'static str, ceiling: Option<usize> },
    All { action: &'static str },
}

/// What has been heard.
#[derive(Debug)]
pub(super) enum News {
    Frame(Box<Frame>),
    /// What came of a press, in words.
    Outcome(String),
    /// No answer.
    Lost(String),
}

/// The two ends of the thread that asks.
pub(super) struct Client {
    news: Receiver<News>,
    requests: Sender<Request>,
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
    pub(super) fn connect(
        address: &str,
        token: Option<String>,
        wanted: Wanted,
    ) -> Result<Self, String> {
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
        let first = dashboard.frame(&wanted)?;
        let (tell, news) = channel();
        let (requests, asked) = channel();
        let _ = tell.send(News::Frame(Box::new(first)));
        thread::Builder::new()
            .name("grmgr-top".into())
            .spawn(move || dashboard.run(&tell, &asked, wanted))
            .map_err(|error| error.to_string())?;
        Ok(Self { news, requests })
    }

    pub(super) fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub(super) fn ask(&self, request: Request) {
        let _ = self.requests.send(request);
    }
}

impl Dashboard {
    fn run(&self, tell: &Sender<News>, asked: &Receiver<Request>, mut wanted: Wanted) {
        let mut next = Instant::now() + EVERY;
        loop {
            match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Request::Show(other)) => wanted = other,
                Ok(press) => {
                    let outcome =
                        self.press(&press).unwrap_or_else(|error| format!("not done: {error}"));
                    let _ = tell.send(News::Outcome(outcome));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let news =
                self.frame(&wanted).map_or_else(News::Lost, |frame| News::Frame(Box::new(frame)));
            next = Instant::now() + EVERY;
            if tell.send(news).is_err() {
                return;
            }
        }
    }

    fn frame(&self, wanted: &Wanted) -> Result<Frame, String> {
        let mut request = self
            .agent
            .get(format!("{}/api/limiters", self.base))
            .query("limit", "1000")
            .query("q", &wanted.part)
            .query("order", wanted.order);
        if let Some(name) = &wanted.detail {
            request = request.query("limiter", name);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.call())
    }

    fn press(&self, press: &Request) -> Result<String, String> {
        let (path, body) = match press {
            Request::One { limiter, action, ceiling } => {
                ("/api/adjust", json!({ "limiter": limiter, "action": action, "ceiling": ceiling }))
            }
            Request::All { action } => ("/api/adjust-all", json!({ "action": action })),
            Request::Show(_) => return Ok(String::new()),
        };
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer: Value = self.read(request.send_json(body))?;
        Ok(match &answer {
            Value::Array(all) => {
                let count = |result| all.iter().filter(|one| one["result"] == result).count();
                let (changed, held) = (count("changed"), count("held"));
                format!("{changed} changed, {held} held, {} unchanged", count("unchanged"))
            }
            one => {
                let word = |key: &str| one[key].as_str().unwrap_or_default();
                format!("{}: {}", word("name"), word("said"))
            }
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
