//! Whom the dashboard answers.
//!
//! A page of some other site runs in the operator's browser and can send requests here. It gives
//! itself away: by `Origin` when it posts across sites, by `Host` when its own name has been made
//! to point at this machine. And it cannot know the token.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use subtle::ConstantTimeEq;

/// The rules.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Option<String>,
    /// Reading needs the token, too: others than this machine's own users can connect.
    reading: bool,
    hosts: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    Token(TokenFault),
}

/// What is wrong with a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    Missing,
    /// Something else than `Bearer`.
    Scheme,
    Wrong,
}

impl Guard {
    /// `exposed`: it listens where other machines can connect.
    pub(crate) fn new(token: Option<String>, exposed: bool, hosts: Vec<String>) -> Self {
        Self { token, reading: exposed, hosts }
    }

    /// Whether changes need a token.
    pub(crate) fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// For every request.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = text(headers, HOST).ok_or(Refusal::Host)?;
        if !self.knows(host) {
            return Err(Refusal::Host);
        }
        if headers.contains_key(ORIGIN) {
            let origin = text(headers, ORIGIN).ok_or(Refusal::Origin)?;
            // Either scheme: a proxy may have taken the encryption off.
            let same = ["http://", "https://"]
                .iter()
                .filter_map(|scheme| origin.strip_prefix(scheme))
                .any(|authority| authority.eq_ignore_ascii_case(host));
            if !same {
                return Err(Refusal::Origin);
            }
        }
        Ok(())
    }

    /// For requests that change something, beside [`admit`](Self::admit).
    pub(crate) fn admit_change(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        // `none`: typed by the user. Not sent by programs.
        let site = HeaderName::from_static("sec-fetch-site");
        if !matches!(text(headers, site), None | Some("same-origin" | "none")) {
            return Err(Refusal::Origin);
        }
        self.check_token(headers)
    }

    /// For requests that are told of the program, beside [`admit`](Self::admit).
    pub(crate) fn admit_reading(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.reading { self.check_token(headers) } else { Ok(()) }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let Some(value) = text(headers, AUTHORIZATION) else {
            return Err(Refusal::Token(TokenFault::Missing));
        };
        let given = match value.split_once(' ') {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim(),
            _ => return Err(Refusal::Token(TokenFault::Scheme)),
        };
        // In constant time: how much of a guess is right must not show.
        match bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
            true => Ok(()),
            false => Err(Refusal::Token(TokenFault::Wrong)),
        }
    }

    /// Addresses in numbers cannot be made to point elsewhere; names can.
    fn knows(&self, host: &str) -> bool {
        let name = without_port(host);
        let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        number.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The header's text, if there is exactly one.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn numbers_localhost_and_named_hosts_are_known_and_others_are_not() {
        let guard = Guard::new(None, false, vec!["ops.example".into()]);
        for host in [
            "127.0.0.1:9187",
            "[::1]:9187",
            "localhost",
            "LOCALHOST:1",
            "10.1.2.3",
            "ops.example:443",
        ] {
            assert_eq!(guard.admit(&headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", ":80"]
        {
            assert_eq!(guard.admit(&headers(&[("host", host)])), Err(Refusal::Host), "{host}");
        }
        assert_eq!(guard.admit(&headers(&[])), Err(Refusal::Host));
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        let guard = Guard::new(None, false, vec![]);
        let admit =
            |origin| guard.admit(&headers(&[("host", "127.0.0.1:9187"), ("origin", origin)]));
        assert_eq!(admit("http://127.0.0.1:9187"), Ok(()));
        for origin in [
            "http://127.0.0.1:9188",
            "http://evil.example",
            "null",
            "",
            "http://127.0.0.1:9187.evil",
        ] {
            assert_eq!(admit(origin), Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn another_site_changes_nothing_even_without_an_origin() {
        let guard = Guard::new(None, false, vec![]);
        let change = |site| guard.admit_change(&headers(&[("sec-fetch-site", site)]));
        assert_eq!(change("same-origin"), Ok(()));
        assert_eq!(change("cross-site"), Err(Refusal::Origin));
        assert_eq!(change("same-site"), Err(Refusal::Origin));
        assert_eq!(guard.admit_change(&headers(&[])), Ok(()), "no browser");
    }

    #[test]
    fn a_change_needs_the_whole_token() {
        let guard = Guard::new(Some("0123456789abcdef".into()), false, vec![]);
        let change = |value| guard.admit_change(&headers(&[("authorization", value)]));
        for scheme in
            ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "BEARER  0123456789abcdef"]
        {
            assert_eq!(change(scheme), Ok(()), "{scheme}");
        }
        for value in ["Bearer 0123456789abcde", "Bearer 0123456789abcdeg", "Bearer "] {
            assert_eq!(change(value), Err(Refusal::Token(TokenFault::Wrong)), "{value}");
        }
        for value in ["0123456789abcdef", "Basic 0123456789abcdef"] {
            assert_eq!(change(value), Err(Refusal::Token(TokenFault::Scheme)), "{value}");
        }
        assert_eq!(guard.admit_change(&headers(&[])), Err(Refusal::Token(TokenFault::Missing)));
        assert_eq!(guard.admit_reading(&headers(&[])), Ok(()), "not where only this machine can");
    }

    #[test]
    fn where_others_can_connect_reading_needs_it_too() {
        let guard = Guard::new(Some("0123456789abcdef".into()), true, vec![]);
        let read = |pairs: &[_]| guard.admit_reading(&headers(pairs));
        assert_eq!(read(&[]), Err(Refusal::Token(TokenFault::Missing)));
        assert_eq!(read(&[("authorization", "bearer 0123456789abcdef")]), Ok(()));
    }
}
