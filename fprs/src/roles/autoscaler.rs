//! The autoscaler role: takes reports and keeps every pool at its size.

use std::net::SocketAddr;

use axum::Router;
use fprs_config::{SharedStore, View};
use tonic::service::Routes;

use crate::failure::Failure;
use crate::process::Parts;

/// An autoscaler that runs, or stands by.
pub struct Autoscaling {
    autoscaler: fprs_autoscaler::Autoscaler,
}
