//! The page: one document, with its style and script inside, that asks nobody but this server.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::api::fail;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

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
    let html = HTML.replace("{nonce}", &nonce).replace("{css}", CSS).replace("{js}", JS);
    let mut response = Html(html).into_response();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
