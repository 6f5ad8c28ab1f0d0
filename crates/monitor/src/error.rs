//! Why a monitor does not start.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a monitor was not started. Nothing of it is left running.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An interval is out of range.
    Interval {
        /// The builder's method that set it.
        option: &'static str,
        /// What is wrong, and what is allowed.
        reason: &'static str,
    },
    /// Another monitor is alive and writes to this file under the same run id.
    RunIdInUse {
        /// The run id.
        run_id: String,
        /// The file.
        path: PathBuf,
    },
    /// The dashboard cannot listen at this address.
    Address {
        /// The address as it was given.
        address: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The dashboard's token is missing where one is needed, or too short.
    Token {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The system gave no thread, or no event loop.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval { option, reason } => write!(f, "{option}: {reason}"),
            Self::RunIdInUse { run_id, path } => write!(
                f,
                "another monitor writes to {} under the run id {run_id:?}: give this one its own \
                 run_id, or stop the other",
                path.display()
            ),
            Self::Address { address, reason } => {
                write!(f, "cannot serve the dashboard at {address:?}: {reason}")
            }
            Self::Token { reason } => write!(f, "dashboard token: {reason}"),
            Self::Thread(error) => write!(f, "cannot start a thread of the monitor: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            _ => None,
        }
    }
}
