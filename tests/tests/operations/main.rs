//! What an operator has to run ftpfw by: the preflight, metrics, the transfer log.

mod check;
mod metrics;
mod transfers;
