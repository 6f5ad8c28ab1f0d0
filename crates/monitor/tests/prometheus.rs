//! `/metrics`, read by a parser of others and by Prometheus itself, and what the dashboard for
//! Grafana asks of it.
#![cfg(all(feature = "dashboard", feature = "history"))]

mod support;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use grmgr::{Adjust, Limiter};
use serde_json::Value;

use support::*;

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
    let cap = bench.limiter.cap("replica lag").unwrap();
    cap.set(9);
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
    assert_eq!(find("limiter_setting", &[("limiter", "db")]), Some(Gauge(8.0)));
    assert_eq!(
        find("limiter_cap", &[("limiter", "db"), ("cause", "replica lag")]),
        Some(Gauge(9.0))
    );
    assert_eq!(find("limiter_cancelled_total", &[("limiter", "db")]), Some(Counter(0.0)));
    // Causes that are known begin at nought, or the first change of each would be lost.
    for cause in ["manual", "dashboard"] {
        let change = [("limiter", "db"), ("direction", "up"), ("cause", cause)];
        assert_eq!(find("limiter_ceiling_changes_total", &change), Some(Counter(0.0)), "{cause}");
    }
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
    assert_eq!(buckets.len(), 145, "all that the limiter has");
    assert!(buckets[..144].windows(2).all(|pair| pair[1].less_than <= pair[0].less_than * 1.26));
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

/// A Prometheus of its own that scrapes one dashboard. Dropping it ends it.
struct Prometheus {
    server: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let scrape = "{ job_name: grmgr, scrape_interval: 200ms, scrape_timeout: 200ms";
        let text = format!(
            "scrape_configs: [{scrape}, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        fs::write(&config, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's prometheus: .ci/monitor installs it");
        Self { server, address, _folder: folder }
    }

    /// The data of an answer; none while it is not up yet.
    fn ask(&self, path: &str, parameter: (&str, &str)) -> Option<Value> {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let url = format!("http://{}/api/v1/{path}", self.address);
        let answer = agent.get(url).query(parameter.0, parameter.1).call();
        let mut answer = answer.ok().filter(|answer| answer.status() != 503)?;
        let mut answer: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer["status"], "success", "{answer} to {parameter:?}");
        Some(answer["data"].take())
    }

    fn query(&self, expression: &str) -> Vec<Value> {
        let data = self.ask("query", ("query", expression));
        data.map_or(Vec::new(), |data| data["result"].as_array().unwrap().clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What Grafana puts in for its variables when all is chosen.
fn filled_in(expression: &str) -> String {
    let mut text = expression.to_owned();
    for (variable, value) in
        [("$__rate_interval", "10s"), ("$limiter", ".*"), ("$job", ".*"), ("$instance", ".*")]
    {
        text = text.replace(variable, value);
    }
    assert!(!text.contains('$'), "a variable that nobody fills in: {text}");
    text
}

#[test]
#[ignore = "needs prometheus: .ci/monitor installs it and runs this"]
fn prometheus_reads_it_and_answers_all_that_the_grafana_dashboard_asks() {
    let bench = start(|builder| builder);
    let odd = "quote \" backslash \\ newline \n end";
    bench.registry.register(Limiter::new(odd, 3)).unwrap();
    let busy = Limiter::builder("busy").ceiling(2).max(4).hold(std::time::Duration::ZERO);
    let busy = bench.registry.register(busy.build().unwrap()).unwrap();
    let paused = bench.registry.register(Limiter::new("paused", 2)).unwrap();
    // Something of everything: permits, waits, refusals, moves of the ceiling.
    let work = || {
        let permits = busy.try_acquire_many(busy.ceiling()).unwrap();
        assert!(busy.try_acquire().is_err());
        let waited = busy.snapshot().stats.waited;
        std::thread::scope(|scope| {
            scope.spawn(|| drop(busy.acquire_blocking().unwrap()));
            eventually("it waits", || busy.snapshot().stats.waited > waited);
            drop(permits);
        });
        assert!(busy.acquire_many(2).blocking_timeout(std::time::Duration::ZERO).is_ok());
        let one = busy.try_acquire().unwrap();
        let all = busy.try_acquire_many(busy.ceiling() - 1).unwrap();
        let given_up = busy.acquire().blocking_timeout(std::time::Duration::from_millis(1));
        assert!(given_up.is_err());
        drop((one, all));
        let _ = busy.adjust(Adjust::To(5 - busy.ceiling().clamp(2, 3)), "test");
        paused.pause();
    };
    let prometheus = Prometheus::start(bench.address);
    let answered = |what: &str, expression: &str, of: &str| {
        eventually(what, || {
            work();
            let result = prometheus.query(expression);
            result.iter().any(|series| series["metric"]["limiter"] == of)
        });
    };
    answered("it is scraped", "limiter_ceiling", "busy");
    assert_eq!(prometheus.query("up")[0]["value"][1], "1");
    let ceiling = prometheus.query("limiter_ceiling == 3");
    assert!(ceiling.iter().any(|series| series["metric"]["limiter"] == odd), "{ceiling:?}");
    let metadata = prometheus.ask("metadata", ("limit", "100")).unwrap();
    for (family, kind) in [
        ("limiter_in_flight", "gauge"),
        ("limiter_ceiling", "gauge"),
        ("limiter_ceiling_min", "gauge"),
        ("limiter_ceiling_max", "gauge"),
        ("limiter_waiting", "gauge"),
        ("limiter_setting", "gauge"),
        ("limiter_paused", "gauge"),
        ("limiter_peak_in_flight", "gauge"),
        ("limiter_peak_waiting", "gauge"),
        ("limiter_cancelled_total", "counter"),
        ("limiter_acquired_total", "counter"),
        ("limiter_waited_total", "counter"),
        ("limiter_refused_total", "counter"),
        ("limiter_ceiling_changes_total", "counter"),
        ("limiter_wait_seconds", "histogram"),
    ] {
        assert_eq!(metadata[family][0]["type"], kind, "{family}");
    }

    let dashboard: Value = serde_json::from_str(include_str!("../grafana/limiters.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut asked = 0;
    for target in targets {
        let expression = filled_in(target["expr"].as_str().unwrap());
        answered(&expression, &expression, "busy");
        asked += 1;
    }
    assert!(asked >= 12);
    // What is marked on all panels.
    for (annotation, of) in
        dashboard["annotations"]["list"].as_array().unwrap().iter().zip(["busy", "paused"])
    {
        let expression = filled_in(annotation["expr"].as_str().unwrap());
        answered(&expression, &expression, of);
    }
    // The first change of a cause that was to be expected is not lost.
    let first =
        "increase(limiter_ceiling_changes_total{limiter=\"first\",cause=\"dashboard\"}[1m]) > 0.5";
    let fresh = bench.registry.register(Limiter::new("first", 3)).unwrap();
    let series = "limiter_ceiling_changes_total{limiter=\"first\",cause=\"dashboard\"}";
    eventually("it is there before", || prometheus.query(series).len() == 2);
    press(bench.address, serde_json::json!({ "limiter": "first", "action": "down" }));
    assert_eq!(fresh.ceiling(), 1);
    eventually("and then it is counted", || !prometheus.query(first).is_empty());
    // The variables: `label_values(SELECTOR, LABEL)` is Grafana's; the selector is Prometheus's.
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')'));
        let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
        let series = prometheus.ask("series", ("match[]", &filled_in(selector))).unwrap();
        assert!(series.as_array().unwrap().iter().all(|one| one[label].is_string()), "{query}");
        assert!(!series.as_array().unwrap().is_empty(), "{query}");
    }
}

#[test]
#[ignore = "needs promtool: .ci/monitor installs it and runs this"]
fn promtool_has_nothing_to_complain_of() {
    let bench = start(|builder| builder);
    let _ = bench.limiter.down();
    bench.monitor.flush().unwrap();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Debian's prometheus: .ci/monitor installs it");
    let text = get(bench.address, "/metrics").body;
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}
