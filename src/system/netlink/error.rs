//! What the kernel says when it refuses, and what each refusal means to us.

use std::fmt;
use std::io;

use super::super::failure::Failure;
use super::message::{Attributes, Message};
use super::{NLMSG_ERROR, flag};

/// The kernel's refusal of one request, or a failure of the socket itself (`sequence` 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetlinkError {
    pub errno: i32,
    pub sequence: u32,
    /// The kernel's own words (extended acknowledgement), where it has any.
    pub detail: Option<String>,
}

impl NetlinkError {
    pub(super) fn protocol(detail: &str) -> NetlinkError {
        NetlinkError { errno: libc::EPROTO, sequence: 0, detail: Some(detail.to_owned()) }
    }

    /// The kernel was built without what we asked for.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.errno,
            libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT
        )
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from_raw_os_error(self.errno))?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl From<NetlinkError> for Failure {
    fn from(error: NetlinkError) -> Failure {
        Failure::with_errno(format_args!("{error}"), Some(error.errno))
    }
}

impl From<io::Error> for NetlinkError {
    fn from(error: io::Error) -> Self {
        NetlinkError { errno: error.raw_os_error().unwrap_or(libc::EIO), sequence: 0, detail: None }
    }
}

/// The error an NLMSG_ERROR or NLMSG_DONE carries; `None` is an acknowledgement.
pub(super) fn error_in(message: &Message<'_>) -> Option<NetlinkError> {
    let code = message.payload.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 {
        return None;
    }
    // An error answer quotes the header of the request (16 bytes, since the payload is capped).
    let skip = if message.kind == NLMSG_ERROR { 20 } else { 4 };
    let detail = (message.flags & flag::ACK_TLVS != 0)
        .then(|| Attributes::new(message.payload.get(skip..).unwrap_or(&[])))
        .into_iter()
        .flatten()
        .find(|attribute| attribute.kind == 1)
        .map(|attribute| attribute.text());
    Some(NetlinkError { errno: code.checked_neg().unwrap_or(libc::EIO), sequence: message.sequence, detail })
}
