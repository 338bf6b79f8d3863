//! The one HTTP request a probe makes, and the status line it waits for. Any status counts: the answer of an
//! error page has crossed the uplink as well.

use super::Greeting;

/// `HEAD path` at `host` (a name, an address, or an address in brackets, maybe with a port). None if one of
/// them would break the request apart.
pub fn request(host: &str, path: &str) -> Option<Vec<u8>> {
    let is_clean = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic());
    if !is_clean(host) || !is_clean(path) || !path.starts_with('/') {
        return None;
    }
    let text = format!(
        "HEAD {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mwan3\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    Some(text.into_bytes())
}

/// Looks for `HTTP/1.1 200` in the first bytes received; a digit in the pattern stands for any digit.
pub fn parse_status(received: &[u8]) -> Greeting {
    const PATTERN: &[u8] = b"HTTP/1.1 200";
    let fits = |(got, expected): (&u8, &u8)| {
        if expected.is_ascii_digit() { got.is_ascii_digit() } else { got == expected }
    };
    if !received.iter().zip(PATTERN).all(fits) {
        Greeting::Foreign
    } else if received.len() < PATTERN.len() {
        Greeting::Incomplete
    } else {
        Greeting::Expected
    }
}
