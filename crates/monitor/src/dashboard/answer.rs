//! Answers that say what is wrong.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::guard::{Refusal, TokenFault};

pub(crate) fn fail(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "error": error.into() }))).into_response()
}

pub(crate) fn refuse(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Host => fail(
            StatusCode::MISDIRECTED_REQUEST,
            "the dashboard does not know this host name: call it by its address in numbers, or \
             name the host with Builder::dashboard_host",
        ),
        Refusal::Origin => {
            fail(StatusCode::FORBIDDEN, "requests from pages of other sites are refused")
        }
        Refusal::Token(fault) => {
            let mut response = fail(
                StatusCode::UNAUTHORIZED,
                match fault {
                    TokenFault::Missing => {
                        "the dashboard's token is needed: send it as Authorization: Bearer <token>"
                    }
                    TokenFault::Scheme => {
                        "the token goes into the header Authorization after the word Bearer: \
                         Authorization: Bearer <token>"
                    }
                    TokenFault::Wrong => "that is not the token of this dashboard",
                },
            );
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            response
        }
    }
}
