//! What can be typed about those who call: tokens, tenants and issuers.

#![expect(
    missing_docs,
    reason = "doc comments here are help texts; what needs none has none"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::rollouts::Stage;
use super::{Output, Target};

/// About tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; its secret is shown once
    Create {
        /// Whose servers it is for [default: that of the token you use, else `default`]
        #[arg(long)]
        tenant: Option<String>,
        /// The only server it is for
        #[arg(long)]
        server: Option<String>,
        /// What it may do: caller, deployer, viewer, admin or worker
        #[arg(long, default_value = "caller")]
        role: String,
        /// How long it lives, e.g. `30d` [default: until it is revoked]
        #[arg(long)]
        ttl: Option<String>,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// List the tokens
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a token: no proxy lets it in any more
    Revoke {
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give a token a new secret; the old one stays good until `--finish`
    Rotate {
        id: String,
        /// End the old secret
        #[arg(long)]
        finish: bool,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Make a ticket: good for minutes, in the query of WebSockets that can't set fields
    Mint {
        /// The only server it is for
        #[arg(long)]
        server: Option<String>,
        /// Whose servers it is for [default: that of the token you use, else `default`]
        #[arg(long)]
        tenant: Option<String>,
        /// How long it lives, 5 minutes at most
        #[arg(long, default_value = "1m")]
        ttl: String,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
}

/// About tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Make a tenant
    Create {
        name: String,
        #[command(flatten)]
        limits: LimitArgs,
        #[command(flatten)]
        target: Target,
    },
    /// Change a tenant's limits; those that aren't given stay
    Set {
        name: String,
        #[command(flatten)]
        limits: LimitArgs,
        #[command(flatten)]
        stage: Stage,
        #[command(flatten)]
        target: Target,
    },
    /// List the tenants
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Delete a tenant that has no servers, tokens and issuers left
    Delete {
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

/// A tenant's limits, at each proxy. `none` takes one away.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// Requests per second
    #[arg(long)]
    pub requests_per_second: Option<String>,
    /// Requests at once above that rate
    #[arg(long)]
    pub burst: Option<String>,
    /// Exchanges in flight
    #[arg(long)]
    pub concurrent_exchanges: Option<String>,
    /// Exchanges in flight on one connection of an edge
    #[arg(long)]
    pub streams_per_connection: Option<String>,
    /// Bytes held of its exchanges
    #[arg(long)]
    pub buffered_bytes: Option<String>,
    /// Connections to its replicas that are being made
    #[arg(long)]
    pub dials: Option<String>,
    /// Its share beside other tenants, 1 to 1000
    #[arg(long)]
    pub weight: Option<String>,
}

/// About issuers of JWTs.
#[derive(Debug, Subcommand)]
pub enum IssuerCommand {
    /// Believe an issuer's JWTs, or change its keys
    Add {
        name: String,
        /// What `iss` must be
        #[arg(long)]
        iss: String,
        /// What `aud` must be or hold
        #[arg(long)]
        aud: String,
        /// The file with its public keys, a JWKS document
        #[arg(long)]
        jwks: PathBuf,
        /// The algorithms it may sign with: EdDSA, ES256, RS256
        #[arg(long, value_delimiter = ',', default_value = "EdDSA")]
        algorithms: Vec<String>,
        /// The claim that lists the servers a JWT is for [default: all of the tenant's]
        #[arg(long)]
        servers_claim: Option<String>,
        /// Whose servers its JWTs are for [default: that of the token you use, else `default`]
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// List the issuers
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        output: Output,
    },
    /// Believe an issuer no more
    Remove {
        name: String,
        #[command(flatten)]
        target: Target,
    },
}
