//! The dashboard over plain HTTP: what it answers, and whom it does not.
#![cfg(all(feature = "dashboard", feature = "history"))]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use grmgr::{Limiter, Registry};
use grmgr_monitor::{Builder, Monitor, StartError};
use serde_json::json;

use support::*;

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
    assert_eq!((&answer["result"], &answer["setting"]), (&json!("unchanged"), &json!(20)));
    assert_eq!(answer["said"], "unchanged at 20");
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
        chart["points"].as_array().unwrap().last().unwrap()["ceiling"] == 17.0
    });
}

#[test]
fn a_new_limiter_shows_up_with_the_next_sample_whatever_its_name() {
    // Samples are taken here, and by nothing else.
    let bench = start(|builder| builder.sample_every(Duration::from_secs(10)));
    let name = "<script>alert(\"1\")</script>\n\\ \u{202e}&amp;";
    bench.registry.register(Limiter::new(name, 3)).unwrap();
    bench.monitor.flush().unwrap();
    let frame = get(bench.address, "/api/limiters").json();
    assert!(frame["limiters"].as_array().unwrap().iter().any(|limiter| limiter["name"] == name));
    let answer = press(bench.address, json!({ "limiter": name, "action": "down" }));
    assert_eq!(answer.json()["to"], 1);
    assert!(!get(bench.address, "/").body.contains("alert("));
    let found = get(bench.address, "/api/limiters?q=SCRIPT&limit=1").json();
    assert_eq!((&found["matching"], &found["total"]), (&json!(1), &json!(2)));
}

#[test]
fn the_fullest_come_first_if_that_is_asked_for() {
    let bench = start(|builder| builder.sample_every(Duration::from_secs(10)));
    let half = bench.registry.register(Limiter::new("half", 4)).unwrap();
    let full = bench.registry.register(Limiter::new("full", 4)).unwrap();
    let _permits = (half.try_acquire_many(2).unwrap(), full.try_acquire_many(4).unwrap());
    bench.monitor.flush().unwrap();
    let names = |path| {
        let frame = get(bench.address, path).json();
        let limiters = frame["limiters"].as_array().unwrap().clone();
        limiters.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("/api/limiters"), ["db", "full", "half"]);
    assert_eq!(names("/api/limiters?order=full"), ["full", "half", "db"]);
    assert_eq!(names("/api/limiters?order=full&limit=1"), ["full"]);
    assert_eq!(names("/api/limiters?order=full&reverse=true"), ["db", "half", "full"]);
    assert_eq!(names("/api/limiters?reverse=true"), ["half", "full", "db"]);
    let summary = &get(bench.address, "/api/limiters?q=db").json()["summary"];
    assert_eq!((&summary["full"], &summary["waiting"]), (&json!(1), &json!(0)), "of all of them");
    assert_eq!(get(bench.address, "/api/limiters?order=colour").status, 400);
}

#[test]
fn a_pause_is_in_the_chart_and_in_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let bench = start(|builder| builder.history(&file).run_id("run"));
    press(bench.address, json!({ "limiter": "db", "action": "pause" }));
    bench.monitor.flush().unwrap();
    press(bench.address, json!({ "limiter": "db", "action": "resume" }));
    let db = rusqlite::Connection::open(&file).unwrap();
    let paused = "SELECT count(*) FROM sample_list WHERE name = 'db' AND paused";
    let paused: i64 = db.query_row(paused, [], |row| row.get(0)).unwrap();
    assert!(paused > 0);
    eventually("the end of it, too", || {
        let chart = get(bench.address, "/api/history?limiter=db&minutes=5").json();
        let points = chart["points"].as_array().unwrap().clone();
        points.iter().any(|point| point["paused"] == true)
            && points.last().unwrap()["paused"] == false
            && chart["pauses"].as_array().unwrap().len() == 2
    });
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
    // A name that has been made to point here: neither to look nor to press.
    let length = down.len();
    for request in [
        "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".into(),
        format!(
            "POST /api/adjust HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\n\
             connection: close\r\n{JSON}content-length: {length}\r\n\r\n{down}"
        ),
    ] {
        let answer = raw(address, &request);
        assert_eq!(answer.status, 421);
        assert!(answer.json()["error"].as_str().unwrap().contains("dashboard_host"));
    }
    assert_eq!(limiter.ceiling(), 10);
    let own = format!("{JSON}origin: http://{address}\r\nsec-fetch-site: same-origin\r\n");
    assert_eq!(post(address, "/api/adjust", &own, down).status, 200);
    assert_eq!(limiter.ceiling(), 8);
}

#[test]
fn where_others_can_connect_all_but_the_page_needs_the_token() {
    let Bench { limiter, monitor: _monitor, address, .. } =
        start(|builder| builder.dashboard("0.0.0.0:0").dashboard_token(TOKEN));
    let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let down = r#"{"limiter":"db","action":"down"}"#;
    for (headers, advice) in [
        ("", "Authorization: Bearer <token>"),
        ("authorization: Bearer wrong\r\n", "not the token"),
        ("authorization: Basic YTpi\r\n", "after the word Bearer"),
    ] {
        let answer = post(address, "/api/adjust", &format!("{JSON}{headers}"), down);
        assert_eq!(answer.status, 401);
        assert!(answer.json()["error"].as_str().unwrap().contains(advice), "{}", answer.body);
        assert!(answer.head.contains("www-authenticate: bearer"));
        let answer =
            post(address, "/api/adjust-all", &format!("{JSON}{headers}"), r#"{"action":"down"}"#);
        assert_eq!(answer.status, 401);
    }
    assert_eq!(limiter.ceiling(), 10);
    for path in
        ["/api/limiters", "/api/sparks", "/api/events", "/api/history?limiter=db", "/metrics"]
    {
        let answer = get(address, path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.body.contains("db"), "{path}");
    }
    // The page has to ask for it, and says nothing of the program.
    assert_eq!(get(address, "/").status, 200);
    let with = |scheme: &str| {
        let request = format!(
            "GET /api/limiters HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             authorization: {scheme} {TOKEN}\r\n\r\n"
        );
        raw(address, &request)
    };
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let frame = with(scheme);
        assert_eq!((frame.status, &frame.json()["token_needed"]), (200, &json!(true)), "{scheme}");
    }
    let with = format!("{JSON}authorization: bearer {TOKEN}\r\n");
    assert_eq!(post(address, "/api/adjust", &with, down).status, 200);
    assert_eq!(limiter.ceiling(), 8);
}

#[test]
fn where_only_this_machine_can_connect_reading_needs_none() {
    let bench = start(|builder| builder.dashboard_token(TOKEN));
    assert_eq!(get(bench.address, "/api/limiters").status, 200);
    let answer = press(bench.address, json!({ "limiter": "db", "action": "down" }));
    assert_eq!((answer.status, bench.limiter.ceiling()), (401, 10));
}

#[test]
fn what_was_pressed_is_what_is_read_next() {
    // No sample is taken but the first.
    let bench = start(|builder| builder.sample_every(Duration::from_secs(10)));
    let shown = || get(bench.address, "/api/limiters").json()["limiters"][0].clone();
    press(bench.address, json!({ "limiter": "db", "action": "set", "ceiling": 5 }));
    let limiter = shown();
    assert_eq!((&limiter["ceiling"], &limiter["setting"]), (&json!(5), &json!(5)));
    assert_eq!(limiter["last_change"]["said"], "10 → 5 by dashboard");
    assert!(get(bench.address, "/metrics").body.contains("limiter_ceiling{limiter=\"db\"} 5\n"));
    press(bench.address, json!({ "limiter": "db", "action": "pause" }));
    assert_eq!(shown()["paused"], true);
    let cap = bench.limiter.cap("replica lag").unwrap();
    cap.set(3);
    let limiter = shown();
    assert_eq!((&limiter["ceiling"], &limiter["setting"]), (&json!(3), &json!(5)));
    assert_eq!(limiter["capped_by"], "replica lag");
    assert_eq!(limiter["last_change"]["said"], "capped at 3 by replica lag");
}

#[cfg(all(feature = "pressure", target_os = "linux"))]
#[test]
fn what_pressure_caps_or_would_cap_is_shown() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
    let line = "some avg10=80.00 avg60=50.00 avg300=1.00 total=1\n";
    std::fs::write(root.path().join("proc/pressure/cpu"), line).unwrap();
    for dry_run in [false, true] {
        let pressure = grmgr_monitor::Pressure::default().root(root.path()).dry_run(dry_run);
        let pressure = pressure.poll_every(Duration::from_millis(10));
        let bench = start(|builder| builder.pressure(pressure));
        let frame = || get(bench.address, "/api/limiters").json();
        eventually("it acts", || frame()["pressure"]["capped"] == 1);
        let limiter = frame()["limiters"][0].clone();
        assert_eq!(limiter["setting"], 10);
        if dry_run {
            assert_eq!((&limiter["ceiling"], &limiter["would_be"]), (&json!(10), &json!(8)));
            assert!(bench.limiter.caps().is_empty());
        } else {
            assert_eq!((&limiter["ceiling"], &limiter["would_be"]), (&json!(8), &json!(null)));
            assert_eq!(limiter["capped_by"], "pressure");
        }
        let limiter = bench.limiter.clone();
        drop(bench);
        assert_eq!(limiter.ceiling(), 10, "with the monitor its caps go");
    }
}

#[test]
fn out_of_range_is_refused_and_not_bent() {
    let bench = start(|builder| builder);
    for ceiling in [0, 21, 9_999] {
        let answer =
            press(bench.address, json!({ "limiter": "db", "action": "set", "ceiling": ceiling }));
        let error = format!("{ceiling} is out of range: give a number from 1 to 20");
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(error)));
    }
    assert!(bench.limiter.changes().is_empty());
    // Nor is what somebody else has changed meanwhile.
    let undo = json!({ "limiter": "db", "action": "set", "ceiling": 7, "expect": 9 });
    let answer = press(bench.address, undo);
    assert_eq!((answer.status, bench.limiter.ceiling()), (409, 10));
    assert!(answer.json()["error"].as_str().unwrap().contains("it is set to 10"));
}

#[test]
fn a_limiter_is_told_in_detail() {
    let bench = start(|builder| builder);
    let tracked = Limiter::builder("jobs").ceiling(4).up(1).down(grmgr::Step::Percent(50));
    let tracked = tracked.hold_up(Duration::from_secs(60)).track_holders().build().unwrap();
    let tracked = bench.registry.register(tracked).unwrap();
    let _permit = tracked.acquire_many(2).label("nightly report").blocking().unwrap();
    let cap = tracked.cap("replica lag").unwrap();
    cap.set(2);
    bench.monitor.flush().unwrap();
    let detail = get(bench.address, "/api/limiters?limiter=jobs&limit=0").json()["detail"].clone();
    assert_eq!((&detail["step_down"], &detail["holds_up_ms"]), (&json!("50 %"), &json!(60_000)));
    assert_eq!(detail["caps"], json!([{ "cause": "replica lag", "at": 2 }]));
    assert_eq!(detail["holders"][0]["label"], "nightly report");
    assert_eq!(detail["holders"][0]["count"], 2);
    assert_eq!(get(bench.address, "/api/limiters?limiter=nobody").json()["detail"], json!(null));
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
    assert_eq!(get(address, "/api/history?limiter=db&from=5&to=1").status, 400);
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
    let plot = get(bench.address, "/uplot-1.6.32.js");
    assert!(plot.head.contains("text/javascript") && plot.head.contains("immutable"));
    assert!(plot.body.contains("uPlot"));
    assert_ne!(nonce(&first), nonce(&second));
    // Nothing is fetched from anywhere else.
    let elsewhere = first.body.replace("http://www.w3.org/2000/svg", "");
    assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"));
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
    // Nothing of the one that failed is left: its history and its run id are free.
    let folder = tempfile::tempdir().unwrap();
    let kept = |builder: Builder| builder.history(folder.path().join("stats.db")).run_id("run");
    start(&|builder| kept(builder).dashboard(&taken.1));
    kept(Monitor::builder(registry.clone())).start().unwrap().shutdown();
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
