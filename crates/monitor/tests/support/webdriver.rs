//! Headless Chromium, driven through chromedriver by the WebDriver protocol.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A browser of its own, with a fresh profile. Dropping it ends it.
pub(crate) struct Browser {
    driver: Child,
    base: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
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

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
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

    pub(crate) fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    pub(crate) fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// As `run`, for a script that calls its last argument when it is done.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        self.call("POST", "/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Whether there is something to see of it.
    pub(crate) fn shown(&self, css: &str) -> bool {
        let script =
            format!("return (document.querySelector({css:?})?.getClientRects().length ?? 0) > 0");
        self.run(&script) == true
    }

    /// Drags over an element, from one share of its width to another.
    pub(crate) fn drag(&self, css: &str, from: f64, to: f64) {
        let script = format!(
            "const node = document.querySelector({css:?}); node.scrollIntoView({{ block: 'center' }}); \
             const box = node.getBoundingClientRect(); \
             return [box.left, box.width, box.top + box.height / 2]"
        );
        let place = self.run(&script);
        let [left, width, y] = [0, 1, 2].map(|i| place[i].as_f64().unwrap());
        let at = |share: f64| {
            json!({ "type": "pointerMove", "duration": 50,
            "x": (left + width * share).round(), "y": y.round(), "origin": "viewport" })
        };
        let actions = json!({ "actions": [{ "type": "pointer", "id": "mouse",
            "parameters": { "pointerType": "mouse" }, "actions": [
                at(from), { "type": "pointerDown", "button": 0 }, at((from + to) / 2.0), at(to),
                { "type": "pointerUp", "button": 0 } ] }] });
        self.call("POST", "/actions", &actions);
    }

    /// Clicks as a user does: the browser finds the element, scrolls there and presses.
    pub(crate) fn click(&self, css: &str) {
        let id = self.find(css);
        self.call("POST", &format!("/element/{id}/click"), &json!({}));
    }

    pub(crate) fn type_into(&self, css: &str, text: &str) {
        let id = self.find(css);
        self.call("POST", &format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Presses keys wherever the focus is.
    pub(crate) fn press(&self, key: &str) {
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": [
            { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key },
        ] }] });
        self.call("POST", "/actions", &actions);
    }

    pub(crate) fn find(&self, css: &str) -> String {
        self.eventually(css, || {
            self.run(&format!("return document.querySelector({css:?}) !== null")) == true
        });
        let element = json!({ "using": "css selector", "value": css });
        let element = self.call("POST", "/element", &element);
        element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    pub(crate) fn text(&self, css: &str) -> String {
        let text = self.run(&format!("return document.querySelector({css:?})?.textContent ?? ''"));
        text.as_str().unwrap().to_owned()
    }

    pub(crate) fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > Duration::from_secs(60) {
                panic!("never: {what}; the page: {}", self.run("return document.body.innerText"));
            }
            thread::yield_now();
        }
    }

    pub(crate) fn size(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 } });
        self.call("POST", "/goog/cdp/execute", &metrics);
        let media = json!({ "cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{ "name": "prefers-color-scheme", "value": scheme }] } });
        self.call("POST", "/goog/cdp/execute", &media);
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
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
