//! The dashboard over plain HTTP: what it answers, and whom it does not.
#![cfg(all(feature = "dashboard", feature = "history"))]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_monitor::{Builder, Monitor, StartError};
use serde_json::{Value, json};

const TOKEN: &str = "a-token-of-the-test";

struct Bench {
    registry: Arc<Registry>,
    limiter: Arc<Limiter>,
    monitor: Monitor,
    address: SocketAddr,
}

fn start(with: impl FnOnce(Builder) -> Builder) -> Bench {
    let registry = Arc::new(Registry::new());
    let limiter = Limiter::builder("db").ceiling(10).max(20).build().unwrap();
    let limiter = registry.register(limiter).unwrap();
    let builder = Monitor::builder(registry.clone())
        .sample_every(Duration::from_millis(10))
        .dashboard("127.0.0.1:0");
    let monitor = with(builder).start().unwrap();
    let address = monitor.dashboard_address().unwrap();
    Bench { registry, limiter, monitor, address }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// One request on a connection of its own, as raw as a client can be.
fn raw(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.into() }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn get(address: SocketAddr, path: &str) -> Answer {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    raw(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
}

const JSON: &str = "content-type: application/json\r\n";

fn press(address: SocketAddr, body: Value) -> Answer {
    post(address, "/api/adjust", JSON, &body.to_string())
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_press_acts_at_once_and_says_what_came_of_it() {
    let Bench { limiter, monitor: _monitor, address, .. } = start(|builder| builder);
    let answer = press(address, json!({ "limiter": "db", "action": "down" }));
    assert_eq!(answer.status, 200);
    assert_eq!((answer.json()["result"].as_str(), limiter.ceiling()), (Some("changed"), 8));
    assert_eq!((answer.json()["from"].as_u64(), answer.json()["to"].as_u64()), (Some(10), Some(8)));
    let answer = press(address, json!({ "limiter": "db", "action": "up" })).json();
    assert_eq!(answer["result"], "held");
    assert!((1..=30_000).contains(&answer["remaining_ms"].as_u64().unwrap()));
    let answer = press(address, json!({ "limiter": "db", "action": "set", "ceiling": 20 })).json();
    assert_eq!((&answer["result"], limiter.ceiling()), (&json!("changed"), 20));
    let answer = press(address, json!({ "limiter": "db", "action": "up" })).json();
    assert_eq!((&answer["result"], &answer["ceiling"]), (&json!("unchanged"), &json!(20)));
    press(address, json!({ "limiter": "db", "action": "pause" }));
    assert!(limiter.is_paused());
    press(address, json!({ "limiter": "db", "action": "resume" }));
    assert!(!limiter.is_paused());
    assert!(limiter.changes().iter().all(|change| change.cause == "dashboard"));
}

#[test]
fn all_are_turned_at_once() {
    let bench = start(|builder| builder);
    let other = bench.registry.register(Limiter::new("other", 5)).unwrap();
    let answer = post(bench.address, "/api/adjust-all", JSON, r#"{"action":"down"}"#).json();
    assert_eq!((bench.limiter.ceiling(), other.ceiling()), (8, 3));
    assert_eq!(answer.as_array().unwrap().len(), 2);
    assert_eq!(answer[1]["name"], "other");
}

#[test]
fn a_press_is_in_the_database_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let bench = start(|builder| builder.history(&file).run_id("run"));
    press(bench.address, json!({ "limiter": "db", "action": "down" }));
    bench.monitor.flush().unwrap();
    let db = rusqlite::Connection::open(&file).unwrap();
    let row = db.query_row(
        "SELECT run_id, name, from_ceiling, to_ceiling, cause FROM change_list",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
    );
    let row: (String, String, i64, i64, String) = row.unwrap();
    assert_eq!(row, ("run".into(), "db".into(), 10, 8, "dashboard".into()));
    let chart = get(bench.address, "/api/history?limiter=db&minutes=5").json();
    assert_eq!(chart["source"], "database");
    assert_eq!(chart["changes"][0]["cause"], "dashboard");
    assert!(!chart["points"].as_array().unwrap().is_empty());
    // What is not written yet is in it, too: a report comes every 10 s only.
    let _ = bench.limiter.set_ceiling(17);
    eventually("the newest sample is in the chart", || {
        let chart = get(bench.address, "/api/history?limiter=db&minutes=5").json();
        chart["points"].as_array().unwrap().last().unwrap()[2] == 17.0
    });
}

#[test]
fn a_new_limiter_shows_up_with_the_next_sample_whatever_its_name() {
    let bench = start(|builder| builder);
    let name = "<script>alert(\"1\")</script>\n\\ \u{202e}&amp;";
    bench.registry.register(Limiter::new(name, 3)).unwrap();
    eventually("the limiter is shown", || {
        let frame = get(bench.address, "/api/limiters").json();
        frame["limiters"].as_array().unwrap().iter().any(|limiter| limiter["name"] == name)
    });
    let answer = press(bench.address, json!({ "limiter": name, "action": "down" }));
    assert_eq!(answer.json()["to"], 1);
    assert!(!get(bench.address, "/").body.contains("alert("));
    let found = get(bench.address, "/api/limiters?q=SCRIPT&limit=1").json();
    assert_eq!((&found["matching"], &found["total"]), (&json!(1), &json!(2)));
}

#[test]
fn metrics_are_what_a_prometheus_parser_reads() {
    let bench = start(|builder| builder);
    let odd = "quote \" backslash \\ newline \n end";
    bench.registry.register(Limiter::new(odd, 3)).unwrap();
    let _permit = bench.limiter.try_acquire().unwrap();
    std::thread::scope(|scope| {
        let all = bench.limiter.try_acquire_many(9).unwrap();
        scope.spawn(|| drop(bench.limiter.acquire_blocking().unwrap()));
        eventually("it waits", || bench.limiter.snapshot().stats.waited == 1);
        drop(all);
    });
    let _ = bench.limiter.down();
    assert!(bench.limiter.try_acquire_many(20).is_err());
    bench.monitor.flush().unwrap();
    let text = get(bench.address, "/metrics").body;
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
    let find = |metric: &str, labels: &[(&str, &str)]| {
        let matches = |sample: &&prometheus_parse::Sample| {
            sample.metric == metric
                && labels.iter().all(|(name, value)| sample.labels.get(name) == Some(*value))
        };
        scrape.samples.iter().find(matches).map(|sample| sample.value.clone())
    };
    use prometheus_parse::Value::{Counter, Gauge, Histogram};
    assert_eq!(find("limiter_in_flight", &[("limiter", "db")]), Some(Gauge(1.0)));
    assert_eq!(find("limiter_ceiling", &[("limiter", "db")]), Some(Gauge(8.0)));
    assert_eq!(find("limiter_ceiling_max", &[("limiter", "db")]), Some(Gauge(20.0)));
    assert_eq!(find("limiter_acquired_total", &[("limiter", "db")]), Some(Counter(11.0)));
    assert_eq!(
        find("limiter_refused_total", &[("limiter", "db"), ("reason", "no_permits")]),
        Some(Counter(1.0))
    );
    let change = [("limiter", "db"), ("direction", "down"), ("cause", "manual")];
    assert_eq!(find("limiter_ceiling_changes_total", &change), Some(Counter(1.0)));
    let Some(Histogram(buckets)) = find("limiter_wait_seconds", &[("limiter", "db")]) else {
        panic!("no histogram in {text}");
    };
    assert_eq!(buckets.last().unwrap().count, 1.0);
    assert!(buckets.windows(2).all(|pair| pair[0].count <= pair[1].count));
    assert!(text.contains(r#"limiter="quote \" backslash \\ newline \n end""#));
    // Every sample belongs to a family that has been declared.
    for sample in &scrape.samples {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| sample.metric.strip_suffix(suffix))
            .unwrap_or(&sample.metric);
        assert!(scrape.docs.contains_key(family), "{}", sample.metric);
    }
}

#[test]
fn pages_of_other_sites_press_nothing() {
    let Bench { limiter, monitor: _monitor, address, .. } = start(|builder| builder);
    let down = r#"{"limiter":"db","action":"down"}"#;
    for headers in [
        "content-type: application/json\r\norigin: http://evil.example\r\n",
        "content-type: application/json\r\norigin: null\r\n",
        "content-type: application/json\r\nsec-fetch-site: cross-site\r\n",
        "content-type: application/json\r\norigin: http://localhost:1\r\n",
    ] {
        let answer = post(address, "/api/adjust", headers, down);
        assert_eq!(answer.status, 403, "{headers}");
        assert!(answer.json()["error"].as_str().unwrap().contains("other sites"));
    }
    // What a form can send without asking first.
    for headers in
        ["content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n", ""]
    {
        assert_eq!(post(address, "/api/adjust", headers, down).status, 415, "{headers}");
    }
    let request = "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(raw(address, request).status, 421);
    assert_eq!(limiter.ceiling(), 10);
    let own = format!("{JSON}origin: http://{address}\r\nsec-fetch-site: same-origin\r\n");
    assert_eq!(post(address, "/api/adjust", &own, down).status, 200);
    assert_eq!(limiter.ceiling(), 8);
}

#[test]
fn changes_need_the_token_and_looking_does_not() {
    let Bench { limiter, monitor: _monitor, address, .. } =
        start(|builder| builder.dashboard("0.0.0.0:0").dashboard_token(TOKEN));
    let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let down = r#"{"limiter":"db","action":"down"}"#;
    for headers in ["", "authorization: Bearer wrong\r\n", "authorization: Basic YTpi\r\n"] {
        let answer = post(address, "/api/adjust", &format!("{JSON}{headers}"), down);
        assert_eq!(answer.status, 401);
        let answer =
            post(address, "/api/adjust-all", &format!("{JSON}{headers}"), r#"{"action":"down"}"#);
        assert_eq!(answer.status, 401);
    }
    assert_eq!(limiter.ceiling(), 10);
    let frame = get(address, "/api/limiters");
    assert_eq!((frame.status, &frame.json()["token_needed"]), (200, &json!(true)));
    let with = format!("{JSON}authorization: Bearer {TOKEN}\r\n");
    assert_eq!(post(address, "/api/adjust", &with, down).status, 200);
    assert_eq!(limiter.ceiling(), 8);
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let bench = start(|builder| builder);
    let address = bench.address;
    for (body, status, error) in [
        (json!({ "limiter": "nobody", "action": "up" }), 404, "no limiter is named \"nobody\""),
        (json!({ "limiter": "db", "action": "set" }), 400, "set needs a ceiling"),
        (json!({ "limiter": "db", "action": "up", "ceiling": 3 }), 400, "only set takes a ceiling"),
        (json!({ "limiter": "db", "action": "explode" }), 422, "explode"),
        (json!({ "limiter": "db", "action": "set", "ceiling": -1 }), 422, "-1"),
        (json!({ "limiter": "db", "action": "up", "now": true }), 422, "now"),
        (json!([]), 422, ""),
    ] {
        let answer = press(address, body);
        let told = answer.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, status, "{told}");
        assert!(told.contains(error), "{told}");
    }
    assert_eq!(post(address, "/api/adjust", JSON, "{").status, 400);
    assert_eq!(post(address, "/api/adjust", JSON, &"x".repeat(100_000)).status, 413);
    assert_eq!(get(address, "/nowhere").status, 404);
    assert_eq!(get(address, "/api/adjust").status, 405);
    assert_eq!(get(address, "/api/history?limiter=nobody").status, 404);
    assert_eq!(get(address, "/api/history?limiter=db&minutes=0").status, 400);
    assert_eq!(raw(address, "nonsense\r\n\r\n").status, 400);
    assert_eq!(bench.limiter.ceiling(), 10);
}

#[test]
fn the_page_runs_only_its_own_script_and_fits_in_no_frame() {
    let bench = start(|builder| builder);
    let (first, second) = (get(bench.address, "/"), get(bench.address, "/"));
    assert!(first.head.contains("default-src 'none'"));
    assert!(first.head.contains("frame-ancestors 'none'"));
    assert!(first.head.contains("x-frame-options: deny"));
    let nonce = |answer: &Answer| {
        let (_, rest) = answer.body.split_once("<script nonce=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    assert!(first.head.contains(&format!("script-src 'nonce-{}'", nonce(&first))));
    assert_ne!(nonce(&first), nonce(&second));
    // Nothing is fetched from anywhere else.
    let elsewhere = first.body.replace("http://www.w3.org/2000/svg", "");
    assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"));
}

/// Reads from a stream of events until one has come, and gives its data.
fn event(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Value {
    loop {
        if let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let event = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 2);
            if let Some((_, data)) = event.split_once("data: ") {
                // Chunks of the transfer begin and end within the text around it.
                return serde_json::from_str(data).unwrap();
            }
            continue;
        }
        let mut piece = [0; 16_384];
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "the stream has ended");
        buffer.extend_from_slice(&piece[..n]);
    }
}

fn subscribe(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    // HTTP/1.0: no chunks in between.
    write!(stream, "GET /api/events HTTP/1.0\r\nhost: {address}\r\n\r\n").unwrap();
    stream
}

#[test]
fn events_tell_of_every_change() {
    let bench = start(|builder| builder);
    let (mut stream, mut buffer) = (subscribe(bench.address), Vec::new());
    assert_eq!(event(&mut stream, &mut buffer)["limiters"][0]["ceiling"], 10);
    let _ = bench.limiter.down();
    eventually("the fall is told", || {
        let limiter = &event(&mut stream, &mut buffer)["limiters"][0];
        limiter["ceiling"] == 8 && limiter["last_change"]["cause"] == "manual"
    });
    drop(bench.monitor);
    eventually("the stream ends with the monitor", || {
        matches!(stream.read(&mut [0; 16_384]), Ok(0) | Err(_))
    });
}

#[test]
fn a_client_that_never_reads_disturbs_nobody() {
    let bench = start(|builder| builder);
    for i in 0..300 {
        bench.registry.register(Limiter::new(format!("limiter {i}"), 5)).unwrap();
    }
    let _deaf: Vec<_> = (0..20).map(|_| subscribe(bench.address)).collect();
    // Far more than what the sockets hold.
    let (mut stream, mut buffer) = (subscribe(bench.address), Vec::new());
    for _ in 0..100 {
        event(&mut stream, &mut buffer);
    }
    let answer = press(bench.address, json!({ "limiter": "db", "action": "down" }));
    assert_eq!((answer.status, bench.limiter.ceiling()), (200, 8));
}

#[test]
fn a_thousand_idle_connections_are_turned_away_and_the_program_goes_on() {
    let bench = start(|builder| builder);
    let idle: Vec<_> = (0..1_000).filter_map(|_| TcpStream::connect(bench.address).ok()).collect();
    assert_eq!(idle.len(), 1_000);
    // The program itself.
    drop(bench.limiter.try_acquire().unwrap());
    bench.monitor.flush().unwrap();
    // Those beyond the bound are told so at once.
    let mut last = idle.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut told = String::new();
    last.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("too many connections"), "{told}");
    // Those within it are closed when they have said nothing for too long; then there is room.
    let mut first = idle.first().unwrap();
    first.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    match first.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "still open"),
    }
    eventually("there is room again", || {
        let stream = TcpStream::connect(bench.address);
        let Ok(mut stream) = stream else { return false };
        let address = bench.address;
        let request =
            format!("GET /api/limiters HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(request.as_bytes());
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn a_dashboard_that_cannot_be_is_an_error_that_says_what_to_do() {
    let registry = Arc::new(Registry::new());
    let start = |with: &dyn Fn(Builder) -> Builder| {
        with(Monitor::builder(registry.clone())).start().unwrap_err()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    let error = start(&|builder| builder.dashboard(&taken.1));
    assert!(matches!(error, StartError::Address { .. }));
    assert!(error.to_string().contains("another port"), "{error}");
    for (address, advice) in [
        ("nonsense", "such as 127.0.0.1:9187"),
        ("127.0.0.1", "such as 127.0.0.1:9187"),
        ("192.0.2.1:9187", "does not have that address"),
    ] {
        let error = start(&|builder| builder.dashboard(address)).to_string();
        assert!(error.contains(advice) && error.contains(address), "{error}");
    }
    let error = start(&|builder| builder.dashboard("0.0.0.0:0")).to_string();
    assert!(error.contains("dashboard_token"), "{error}");
    let error = start(&|builder| builder.dashboard("0.0.0.0:0").dashboard_token("short"));
    assert!(error.to_string().contains("16 or more"), "{error}");
    let error = start(&|builder| builder.sample_every(Duration::ZERO)).to_string();
    assert!(error.contains("10 ms to 10 s"), "{error}");
    let error = start(&|builder| builder.report_every(Duration::from_secs(1))).to_string();
    assert!(error.contains("as sample_every"), "{error}");
}

#[test]
#[ignore = "needs python3-prometheus-client: .ci/monitor installs it and runs this"]
fn metrics_are_what_prometheus_own_parser_reads() {
    let bench = start(|builder| builder);
    let odd = "quote \" backslash \\ newline \n end";
    bench.registry.register(Limiter::new(odd, 3)).unwrap();
    let _ = bench.limiter.down();
    bench.monitor.flush().unwrap();
    let text = get(bench.address, "/metrics").body;
    // It fails by itself on what is not the format; the rest is printed for comparison.
    let script = "import sys, json\n\
        from prometheus_client.parser import text_string_to_metric_families as parse\n\
        families = list(parse(sys.stdin.read()))\n\
        print(json.dumps({'types': {f.name: f.type for f in families},\n\
            'samples': [[s.name, s.labels, s.value] for f in families for s in f.samples]}))";
    let mut python = std::process::Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("Debian's python3");
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "not in the format: {text}");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["types"]["limiter_ceiling"], "gauge");
    assert_eq!(read["types"]["limiter_acquired"], "counter");
    assert_eq!(read["types"]["limiter_wait_seconds"], "histogram");
    let samples = read["samples"].as_array().unwrap();
    let has = |sample: Value| assert!(samples.contains(&sample), "no {sample} in {text}");
    has(json!(["limiter_ceiling", { "limiter": "db" }, 8.0]));
    has(json!(["limiter_ceiling", { "limiter": odd }, 3.0]));
    has(json!(["limiter_ceiling_changes_total",
        { "limiter": "db", "direction": "down", "cause": "manual" }, 1.0]));
    has(json!(["limiter_wait_seconds_bucket", { "limiter": "db", "le": "+Inf" }, 0.0]));
}

#[test]
fn the_grafana_dashboard_asks_for_what_there_is() {
    let bench = start(|builder| builder);
    let served = get(bench.address, "/metrics").body;
    let text = include_str!("../grafana/limiters.json");
    let dashboard: Value = serde_json::from_str(text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() >= 9);
    for expression in expressions {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for metric in words.filter(|word| word.starts_with("limiter_")) {
            let family = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(served.contains(&format!("# TYPE {family} ")), "{metric} in {expression}");
        }
        assert_eq!(expression.matches('(').count(), expression.matches(')').count());
        assert_eq!(expression.matches('{').count(), expression.matches('}').count());
    }
}
