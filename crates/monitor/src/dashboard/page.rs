//! The page: one document, with its style and script inside, that asks nobody but this server. The
//! same for all limiters and for one: its script reads from the address what to show.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::answer::fail;

const HTML: &str = include_str!("page/page.html");
const CSS: &str = include_str!("page/page.css");
const JS: &str = concat!(
    include_str!("page/format.js"),
    include_str!("page/stream.js"),
    include_str!("page/press.js"),
    include_str!("page/list.js"),
    include_str!("page/one.js"),
    include_str!("page/main.js"),
);
/// Where the charts' script is; its version is in the name, so that browsers may keep it.
pub(crate) const PLOT: &str = "/uplot-1.6.32.js";
const PLOT_JS: &str = include_str!("vendor/uplot-1.6.32.min.js");
const PLOT_CSS: &str = include_str!("vendor/uplot-1.6.32.min.css");

pub(crate) async fn plot() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, PLOT_JS).into_response()
}

pub(crate) async fn page() -> Response {
    // A nonce of its own for each answer: no other style or script than these two is run, should
    // one ever find its way into the page.
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return fail(StatusCode::INTERNAL_SERVER_ERROR, "the system gave no random numbers");
    }
    let nonce: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let html = HTML.replace("{nonce}", &nonce).replace("{plot}", PLOT);
    let html = html.replace("{css}", CSS).replace("{plot_css}", PLOT_CSS).replace("{js}", JS);
    let mut response = Html(html).into_response();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
