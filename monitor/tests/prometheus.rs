//! `/metrics`, read by parsers of others, and the dashboard for Grafana.
#![cfg(all(feature = "dashboard", feature = "history"))]

mod support;

use std::io::Write;

use grmgr::Limiter;
use serde_json::{Value, json};

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
