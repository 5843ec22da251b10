//! `fprs up`: the whole plane in one process, on the embedded store.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fprs_config::View;
use fprs_config::manifest::Manifest;
use fprs_control::{ControlSettings, PublicUrl};
use fprs_relay::RelaySettings;
use tonic::service::Routes;

use crate::client::Client;
use crate::commands::ask;
use crate::data_dir::{DataDir, Running, write_whole};
use crate::edge::{self, Edge, Prepared};
use crate::failure::Failure;
use crate::notify;
use crate::process::{self, Parts, bind, bound};
use crate::roles::{
    self, Admin, Autoscaling, Controlling, Following, Proxying, Relaying, Tracing, open_audit_log,
    open_store,
};
use crate::settings::Settings;

/// From a plane that is put together to one that serves.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The lease holder's name. The store is one process's alone, so it can be the same for ever.
const HOLDER: &str = "up";

/// Runs the plane until a signal ends it.
///
/// # Errors
/// It can't start, or a part of it ended.
pub(super) fn run(settings: Settings, manifests: &[PathBuf]) -> Result<(), Failure> {
    process::log(settings.log_format);
    // Read first: a wrong manifest is told before anything is started.
    let manifests: Vec<Manifest> = manifests
        .iter()
        .map(|path| ask::read_manifest(path))
        .collect::<Result<_, _>>()?;
    let runtime = process::runtime()?;
    let ended = runtime.block_on(plane(settings, manifests));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// The addresses a plane got.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    listen: SocketAddr,
    admin: SocketAddr,
    relay: SocketAddr,
}

/// What listens at them.
struct Listeners {
    listen: TcpListener,
    admin: TcpListener,
    relay: TcpListener,
}

impl Listeners {
    fn bind(settings: &Settings) -> Result<(Self, Addresses), Failure> {
        let listeners = Self {
            listen: bind("listen", settings.listen)?,
            admin: bind("admin", settings.admin)?,
            relay: bind("listen", SocketAddr::new(settings.listen.ip(), 0))?,
        };
        let addresses = Addresses {
            listen: bound(&listeners.listen)?,
            admin: bound(&listeners.admin)?,
            relay: bound(&listeners.relay)?,
        };
        Ok((listeners, addresses))
    }
}

async fn plane(mut settings: Settings, manifests: Vec<Manifest>) -> Result<(), Failure> {
    let dir = DataDir::open(&settings.data_dir)?;
    let prepared = Prepared::new(&settings, &dir)?;
    let store = open_store(settings.store.as_ref(), &dir).await?;
    let token = dir.token(settings.admin_token.as_ref())?;
    let (listeners, addresses) = Listeners::bind(&settings)?;
    if prepared.is_some() {
        let trusted = edge::trusted(addresses.listen);
        settings.trusted_edges.push(trusted);
    }

    let registry = roles::registry()?;
    let store = roles::counted(store, &registry)?;
    let mut parts = Parts::default();
    let budget = roles::budget(settings.buffer_limit, &registry)?;
    let tracing = Tracing::start(settings.tracing.as_ref(), &registry, &mut parts)?;
    let tracing = tracing.as_ref();
    let usage = roles::usage(&dir, &registry, &mut parts)?;
    let mut proxy = Proxying::start_with(&settings, &budget, (tracing, &usage), &registry)?;
    let last_good = Some(dir.last_good("up"));
    let following = Following::new(Arc::clone(&store), last_good).observe(proxy.observer());
    let (view, status) = (following.view(), following.status());

    let control = Controlling::start(
        control_settings(&settings, &dir, addresses.listen, prepared.as_ref())?,
        Arc::clone(&store),
        view.clone(),
        &token,
        &registry,
        &mut parts,
    )?;
    let (autoscaler, following) = Autoscaling::start(
        HOLDER.to_owned(),
        addresses.admin,
        store,
        following,
        &registry,
        &mut parts,
    )?;
    following.start(&registry, &mut parts)?;
    roles::meter(&usage, view.clone(), &autoscaler, &mut parts);
    let egress = roles::egress_api(settings.egress.as_deref(), view.clone())?;
    let admin_routes = Admin {
        registry: registry.clone(),
        token: token.clone(),
        ready: proxy.ready_check(),
        config: status,
        grpc: autoscaler.routes(Routes::default()),
        api: autoscaler
            .api()
            .merge(roles::usage_api(&usage))
            .merge(egress),
    };
    let routes = control.routes(admin_routes, Some(proxy.seen()));
    roles::serve(listeners.admin, routes, &mut parts, std::future::pending())?;
    let relay = Relaying::start(
        relay_settings(&settings, &dir, addresses, &token),
        (settings.cores, &budget),
        listeners.relay,
        tracing,
        &registry,
        &mut parts,
    )?;
    proxy.serve(listeners.listen, view.clone(), &token, &mut parts)?;

    let running = Running {
        pid: std::process::id(),
        listen: Some(addresses.listen),
        admin: addresses.admin,
        edge: prepared.as_ref().map(Prepared::address),
        zone: settings.zone.clone(),
    };
    let plane = Plane {
        settings,
        dir,
        running,
        addresses,
        token,
        proxy,
        relay,
    };
    plane.run(&manifests, view, prepared, parts).await
}

/// A plane that is put together.
struct Plane {
    settings: Settings,
    dir: DataDir,
    running: Running,
    addresses: Addresses,
    token: String,
    proxy: Proxying,
    relay: Relaying,
}

impl Plane {
    /// Serves until a signal or a part's end.
    async fn run(
        self,
        manifests: &[Manifest],
        view: View,
        prepared: Option<Prepared>,
        mut parts: Parts,
    ) -> Result<(), Failure> {
        let mut edge = None;
        let ended = tokio::select! {
            ended = parts.ended() => Err(ended),
            ended = self.serve(manifests, view, prepared, &mut edge) => ended,
        };
        notify::stopping();
        self.dir.retract();
        if ended.is_ok() {
            if let Some(edge) = &edge {
                edge.leave().await;
            }
            self.proxy.drain(self.settings.drain).await;
        }
        self.relay.stop().await;
        if let Some(edge) = edge {
            edge.end().await;
        }
        ended
    }

    /// Waits until everything serves, says so, and waits for the end. The edge comes last, since it
    /// asks whether the rest is ready.
    async fn serve(
        &self,
        manifests: &[Manifest],
        view: View,
        prepared: Option<Prepared>,
        edge: &mut Option<Edge>,
    ) -> Result<(), Failure> {
        attached(view, self.relay.worker(), self.addresses.relay).await?;
        let ca = prepared.as_ref().map(Prepared::ca);
        if let Some(prepared) = prepared {
            let started = prepared.start(&self.settings.zone, self.addresses.listen);
            *edge = Some(started.await?);
        }
        self.dir.announce(&self.running)?;
        banner(&self.running, &self.settings, ca.as_deref());
        for manifest in manifests {
            deploy(self.addresses.admin, &self.token, manifest.clone()).await?;
        }
        if let Some(path) = &self.settings.ready_file {
            write_whole(path, &self.running)?;
        }
        notify::ready();
        process::terminated().await
    }
}

/// Waits until control knows this machine's relay.
async fn attached(mut view: View, worker: &str, address: SocketAddr) -> Result<(), Failure> {
    let attached = async {
        while view
            .load()
            .worker(worker)
            .is_none_or(|worker| worker.address != address)
        {
            if view.changed().await.is_none() {
                return;
            }
        }
    };
    tokio::time::timeout(START_TIMEOUT, attached)
        .await
        .map_err(|_| {
            Failure::new("the relay could not attach to control in time; see the log for why")
        })
}

async fn deploy(admin: SocketAddr, token: &str, manifest: Manifest) -> Result<(), Failure> {
    let client = Client::at(&admin.to_string(), token);
    let deployed = tokio::task::spawn_blocking(move || ask::deploy_to(&client, &manifest)).await;
    let server = deployed.map_err(Failure::new)??;
    let url = server
        .get("url")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    say(format_args!("  deployed   {url}"));
    Ok(())
}

/// Users are told of the edge's URLs where there is one.
fn control_settings(
    settings: &Settings,
    dir: &DataDir,
    listen: SocketAddr,
    edge: Option<&Prepared>,
) -> Result<ControlSettings, Failure> {
    let (scheme, port) = match edge {
        Some(edge) => ("https", edge.address().port()),
        None => ("http", listen.port()),
    };
    let public_url = settings.public_url.clone();
    Ok(ControlSettings {
        zone: settings.zone.clone(),
        public_url: public_url.unwrap_or_else(|| PublicUrl {
            scheme: scheme.to_owned(),
            port,
        }),
        lease: ControlSettings::LEASE,
        audit: open_audit_log(dir)?,
        images: false,
    })
}

fn relay_settings(
    settings: &Settings,
    dir: &DataDir,
    addresses: Addresses,
    token: &str,
) -> RelaySettings {
    RelaySettings {
        worker_id: None,
        data_address: addresses.relay,
        compute_region: settings.compute_region.clone(),
        capacity: settings.capacity,
        reached_by: settings.reached_by.clone(),
        control: vec![addresses.admin.to_string()],
        token: token.to_owned(),
        state_dir: dir.relay(),
        kill_after: RelaySettings::KILL_AFTER,
        shutdown_timeout: RelaySettings::SHUTDOWN_TIMEOUT,
        pod: None,
    }
}

fn banner(running: &Running, settings: &Settings, ca: Option<&Path>) {
    let listen = running.listen.unwrap_or(running.admin);
    say(format_args!("fprs {} is up", env!("CARGO_PKG_VERSION")));
    if let (Some(edge), Some(ca)) = (running.edge, ca) {
        say(format_args!(
            "  servers    https://<server>.{}:{}/\n  trust      {}\n  edge       {edge}",
            running.zone,
            edge.port(),
            ca.display()
        ));
    } else {
        say(format_args!(
            "  servers    http://<server>.{}:{}/",
            running.zone,
            listen.port()
        ));
    }
    say(format_args!(
        "  listen     {listen}\n  admin      http://{admin}/\n  data dir   {data_dir}\n  \
         deploy     fprs deploy MANIFEST",
        admin = running.admin,
        data_dir = settings.data_dir.display(),
    ));
}

/// Tells whoever started it. That nobody reads it, or a disk is full, stops no plane.
fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stdout(), "{line}").ok();
}
