//! The page in a real browser: headless Chromium, driven through chromedriver by the WebDriver
//! protocol.
#![cfg(all(feature = "dashboard", feature = "history"))]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_monitor::{Builder, Monitor};
use serde_json::{Value, json};

/// A browser of its own, with a fresh profile. Dropping it ends it.
struct Browser {
    driver: Child,
    base: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver: install chromium and chromium-driver, or run .ci/monitor");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        // Whatever it still has to say must find a reader.
        thread::spawn(move || lines.for_each(drop));
        let base = format!("http://127.0.0.1:{}", port.expect("a port"));
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "WARNING" },
        } } });
        let mut browser = Self { driver, base, session: String::new(), _profile: profile };
        let session = browser.call("POST", "", &capabilities);
        browser.session = format!("/{}", session["sessionId"].as_str().expect("a session"));
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}/session{}{path}", self.base, self.session);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let answer = match method {
            "POST" => agent.post(url).send_json(body),
            "GET" => agent.get(url).call(),
            _ => agent.delete(url).call(),
        };
        let mut answer: Value = answer.unwrap().body_mut().read_json().unwrap();
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{value}");
        value
    }

    fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Clicks as a user does: the browser finds the element, scrolls there and presses.
    fn click(&self, css: &str) {
        let id = self.find(css);
        self.call("POST", &format!("/element/{id}/click"), &json!({}));
    }

    fn type_into(&self, css: &str, text: &str) {
        let id = self.find(css);
        self.call("POST", &format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Presses keys wherever the focus is.
    fn press(&self, key: &str) {
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": [
            { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key },
        ] }] });
        self.call("POST", "/actions", &actions);
    }

    fn find(&self, css: &str) -> String {
        self.eventually(css, || {
            self.run(&format!("return document.querySelector({css:?}) !== null")) == true
        });
        let element = json!({ "using": "css selector", "value": css });
        let element = self.call("POST", "/element", &element);
        element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    fn text(&self, css: &str) -> String {
        let text = self.run(&format!("return document.querySelector({css:?})?.textContent ?? ''"));
        text.as_str().unwrap().to_owned()
    }

    fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > Duration::from_secs(60) {
                panic!("never: {what}; the page: {}", self.run("return document.body.innerText"));
            }
            thread::yield_now();
        }
    }

    fn size(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 } });
        self.call("POST", "/goog/cdp/execute", &metrics);
        let media = json!({ "cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{ "name": "prefers-color-scheme", "value": scheme }] } });
        self.call("POST", "/goog/cdp/execute", &media);
    }

    fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with the session; also after a test that failed.
        let session = format!("{}/session{}", self.base, self.session);
        let _ = ureq::delete(session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A program at work: threads that take a permit and hold it for a moment.
struct Program {
    registry: Arc<Registry>,
    limiter: Arc<Limiter>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Program {
    fn start() -> Self {
        let registry = Arc::new(Registry::new());
        let limiter = Limiter::builder("db").ceiling(6).max(12).hold(Duration::from_secs(5));
        let limiter = registry.register(limiter.build().unwrap()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let work = |limiter: Arc<Limiter>, stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let _permit = limiter.acquire_blocking().unwrap();
                    // The work itself; nothing waits for it.
                    thread::sleep(Duration::from_millis(5));
                }
            }
        };
        let threads = (0..8).map(|_| thread::spawn(work(limiter.clone(), stop.clone()))).collect();
        Self { registry, limiter, stop, threads }
    }

    fn monitor(&self, with: impl FnOnce(Builder) -> Builder) -> Monitor {
        let builder = Monitor::builder(self.registry.clone())
            .sample_every(Duration::from_millis(100))
            .report_every(Duration::from_millis(200))
            .dashboard("127.0.0.1:0");
        with(builder).start().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.limiter.resume();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn url(monitor: &Monitor) -> String {
    format!("http://{}/", monitor.dashboard_address().unwrap())
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_shows_a_running_program_and_its_buttons_turn_it() {
    let program = Program::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let monitor = program.monitor(|builder| builder.history(&file).run_id("browser"));
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is live", || browser.text("#live") == "live");
    browser.eventually("the ceiling is shown", || browser.text("[data-v=ceiling]") == "6");
    browser.eventually("all six at work", || browser.text("[data-v=in_flight]") == "6");
    assert!(browser.text("#history").contains("browser"));

    browser.click("[data-do=down]");
    browser.eventually("the program's ceiling falls", || program.limiter.ceiling() == 4);
    browser.eventually("the page says so", || browser.text(".came") == "Changed: 6 → 4");
    browser.eventually("the ceiling is shown", || browser.text("[data-v=ceiling]") == "4");
    browser.eventually("and its cause", || {
        browser.text("[data-v=last]").starts_with("6 → 4 by dashboard")
    });
    browser.eventually("the work goes with it", || browser.text("[data-v=in_flight]") == "4");
    browser.click("[data-do=down]");
    browser.eventually("it is held", || browser.text(".came").starts_with("Held: "));
    browser
        .eventually("the hold counts down", || browser.text("[data-v=hold]").starts_with("held "));
    assert_eq!(program.limiter.ceiling(), 4);

    browser.type_into("article input", "99\u{e007}");
    browser.eventually("out of range", || browser.text(".came").contains("from 1 to 12"));
    browser.run("document.querySelector('article input').value = ''");
    browser.type_into("article input", "9\u{e007}");
    browser.eventually("it is set", || program.limiter.ceiling() == 9);

    browser.click("[data-do=pause]");
    browser.eventually("it is paused", || program.limiter.is_paused());
    browser.eventually("that is shown", || browser.text(".badges") == "paused");
    browser.eventually("resume is offered", || browser.text("[data-do=pause]") == "Resume");
    browser.click("[data-do=pause]");
    browser.eventually("it is resumed", || !program.limiter.is_paused());

    monitor.flush().unwrap();
    let db = rusqlite::Connection::open(&file).unwrap();
    let changes: i64 = db
        .query_row("SELECT count(*) FROM change_list WHERE cause = 'dashboard'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(changes, 2, "down and set");
    // A page that is loaded anew begins with what the database has.
    browser.open(&url(&monitor));
    browser.eventually("the past is drawn", || {
        browser.run(
            "return document.querySelectorAll('.chart .ceiling').length === 1 \
            && document.querySelector('.chart .change').getAttribute('d').length > 0",
        ) == true
    });
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_works_by_keyboard() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let other = program.registry.register(Limiter::new("other", 5)).unwrap();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("both are there", || {
        browser.run("return document.querySelectorAll('article').length") == 2
    });
    browser.press("j");
    browser.press("j");
    assert_eq!(browser.run("return document.activeElement.getAttribute('aria-label')"), "other");
    browser.press("d");
    browser.eventually("d is down", || other.ceiling() == 3);
    browser.press("p");
    browser.eventually("p is pause", || other.is_paused());
    browser.press("k");
    assert_eq!(browser.run("return document.activeElement.getAttribute('aria-label')"), "db");
    browser.press("s");
    browser.press("8");
    browser.press("\u{e007}");
    browser.eventually("s is set", || program.limiter.ceiling() == 8);
    // From one control to the next by the tabulator: all of them can be reached.
    browser.run("document.querySelector('article').focus()");
    let mut reached = Vec::new();
    for _ in 0..5 {
        browser.press("\u{e004}");
        let label = browser.run("return document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label')");
        reached.push(label.as_str().unwrap().split(' ').next().unwrap().to_owned());
    }
    assert_eq!(reached, ["Down", "Up", "New", "Set", "Pause"]);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn a_name_is_only_ever_text() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let name =
        "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>";
    let limiter = program.registry.register(Limiter::new(name, 5)).unwrap();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is shown as it is", || browser.text("article:first-child h2") == name);
    browser.click("article:first-child [data-do=down]");
    browser.eventually("and can be turned", || limiter.ceiling() == 3);
    assert_eq!(
        browser.run("return document.querySelectorAll('article img, article script').length"),
        0
    );
    assert_ne!(browser.run("return document.title"), "pwned");
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_says_when_the_connection_is_lost_and_comes_back() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    let address = monitor.dashboard_address().unwrap().to_string();
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is live", || browser.text("#live") == "live");
    monitor.shutdown();
    browser.eventually("it says so", || browser.text("#lost").contains("Connection lost"));
    assert_eq!(browser.text("#live"), "reconnecting");
    let _monitor = program.monitor(|builder| builder.dashboard(&address));
    browser.eventually("it is back", || browser.text("#live") == "live");
    assert_eq!(browser.run("return document.querySelector('#lost').hidden"), true);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn changes_ask_for_the_token() {
    let program = Program::start();
    let token = "a-token-of-the-test";
    let monitor = program.monitor(|builder| builder.dashboard_token(token));
    let browser = Browser::start();
    browser.open(&url(&monitor));
    browser.eventually("it is asked for", || {
        browser.run("return document.querySelector('#token-form')?.hidden === false") == true
    });
    browser.click("[data-do=down]");
    browser.eventually("without it, no", || browser.text(".came").contains("need the token"));
    assert_eq!(program.limiter.ceiling(), 6);
    browser.type_into("#token", token);
    browser.click("[data-do=down]");
    browser.eventually("with it, yes", || program.limiter.ceiling() == 4);
}

#[test]
#[ignore = "needs chromium and chromedriver: .ci/monitor installs them and runs this"]
fn the_page_fits_a_phone_in_the_dark_and_a_desk_in_the_light() {
    let program = Program::start();
    let monitor = program.monitor(|builder| builder);
    program.registry.register(Limiter::new("a-name-without-any-blank-".repeat(8), 5)).unwrap();
    let browser = Browser::start();
    for (width, height, scheme) in
        [(360, 740, "dark"), (390, 844, "light"), (1_280, 800, "dark"), (1_920, 1_080, "light")]
    {
        browser.size(width, height, scheme);
        browser.open(&url(&monitor));
        browser.eventually("both are there", || {
            browser.run("return document.querySelectorAll('article').length") == 2
        });
        let fits = browser.run("return document.documentElement.scrollWidth <= innerWidth");
        assert_eq!(fits, true, "{width} wide");
        let inside = browser.run(
            "return [...document.querySelectorAll('article')].every(card => \
               [...card.querySelectorAll('button, input')].every(control => { \
                 const box = control.getBoundingClientRect(), around = card.getBoundingClientRect(); \
                 return box.left >= around.left && box.right <= around.right && box.height >= 34; }))",
        );
        assert_eq!(inside, true, "controls at {width}");
        // Text against its card, by the contrast that WCAG asks for.
        let contrast = browser.run(
            "const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => { v /= 255; \
               return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; }; \
             const card = lum(getComputedStyle(document.querySelector('article')).backgroundColor); \
             return Math.min(...[...document.querySelectorAll('article h2, article dt, article dd, article .sub, article .big b, article .big span, article .last span')] \
               .map(node => { const text = lum(getComputedStyle(node).color); \
                 return (Math.max(text, card) + .05) / (Math.min(text, card) + .05); }));",
        );
        assert!(contrast.as_f64().unwrap() >= 4.5, "{contrast} at {width} {scheme}");
    }
}
