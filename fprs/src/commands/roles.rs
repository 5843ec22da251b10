//! One role a process, for a fleet: the same parts as `fprs up`, with control's feed for a store.

mod proxy;

pub(super) use proxy::proxy;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use fprs_config::feed::FeedClient;
use fprs_config::follow::Status;
use fprs_config::{SharedStore, View};
use fprs_control::{ControlSettings, PublicUrl, ReadyCheck};
use fprs_relay::RelaySettings;
use prometheus::Registry;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::data_dir::{DataDir, Running, write_whole};
use crate::failure::Failure;
use crate::notify;
use crate::process::{self, Parts, bind, bound};
use crate::roles::{
    self, Admin, Autoscaling, Controlling, Following, Holder, Relaying, Tracing, open_audit_log,
    open_store,
};
use crate::settings::{Role, Settings};

/// Runs control.
///
/// # Errors
/// It can't start, or a part of it ended.
pub(super) fn control(settings: Settings) -> Result<(), Failure> {
    block_on(
        settings,
        async |settings: &Settings, process: &mut Process| {
            let store = open_store(settings.store.as_ref(), &process.dir).await?;
            let store = roles::counted(store, &process.registry)?;
            let following = Following::new(Arc::clone(&store), None);
            let (view, status) = (following.view(), following.status());
            following.start(&process.registry, &mut process.parts)?;
            let control = Controlling::start(
                ControlSettings {
                    zone: settings.zone.clone(),
                    public_url: settings.public_url.clone().unwrap_or_else(|| PublicUrl {
                        scheme: "http".to_owned(),
                        port: settings.listen.port(),
                    }),
                    lease: ControlSettings::LEASE,
                    audit: open_audit_log(&process.dir)?,
                    images: settings.kubernetes.is_some(),
                },
                store,
                view.clone(),
                &process.token,
                &process.registry,
                &mut process.parts,
            )?;
            if let Some(kubernetes) = &settings.kubernetes {
                roles::run_pods(settings, kubernetes, &control, &view, &mut process.parts).await?;
            }
            let admin = Admin {
                registry: process.registry.clone(),
                token: process.token.clone(),
                ready: Arc::new(|| Ok(())),
                config: status,
                grpc: Routes::default(),
                api: roles::egress_api(settings.egress.as_deref(), view.clone())?,
            };
            let routes = control.routes(admin, None);
            process.serve_admin(routes)?;
            process.announces = true;
            process.run(settings, view).await
        },
    )
}

/// Runs the autoscaler.
///
/// # Errors
/// It can't start, or a part of it ended.
pub(super) fn autoscaler(settings: Settings) -> Result<(), Failure> {
    block_on(
        settings,
        async |settings: &Settings, process: &mut Process| {
            let store = process.feed(settings, Role::Autoscaler)?;
            let following = Following::new(Arc::clone(&store), None);
            let (view, status) = (following.view(), following.status());
            let holder = Holder::take(&process.dir);
            let (autoscaler, following) = Autoscaling::start(
                holder.name().to_owned(),
                process.admin_address,
                store,
                following,
                &process.registry,
                &mut process.parts,
            )?;
            following.start(&process.registry, &mut process.parts)?;
            let usage = roles::usage(&process.dir, &process.registry, &mut process.parts)?;
            roles::meter(&usage, view.clone(), &autoscaler, &mut process.parts);
            process.admin(
                status,
                Arc::new(|| Ok(())),
                autoscaler.routes(Routes::default()),
                autoscaler.api().merge(roles::usage_api(&usage)),
            )?;
            let ended = process.run(settings, view).await;
            roles::save_usage(&usage);
            ended
        },
    )
}

/// Runs a relay.
///
/// # Errors
/// It can't start, or a part of it ended.
pub(super) fn relay(settings: Settings) -> Result<(), Failure> {
    block_on(
        settings,
        async |settings: &Settings, process: &mut Process| {
            let listen = bind("listen", settings.listen)?;
            let data_address = bound(&listen)?;
            process.listen = Some(data_address);
            let budget = roles::budget(settings.buffer_limit, &process.registry)?;
            let tracing = settings.tracing.as_ref();
            let tracing = Tracing::start(tracing, &process.registry, &mut process.parts)?;
            let relay = Relaying::start(
                RelaySettings {
                    worker_id: settings.pod.as_ref().map(|pod| pod.name.clone()),
                    data_address,
                    compute_region: settings.compute_region.clone(),
                    // A pod runs one program.
                    capacity: settings.pod.as_ref().map_or(settings.capacity, |_| 1),
                    reached_by: settings.reached_by.clone(),
                    control: settings.control.clone(),
                    token: process.token.clone(),
                    state_dir: process.dir.relay(),
                    kill_after: RelaySettings::KILL_AFTER,
                    shutdown_timeout: match settings.pod {
                        Some(_) => RelaySettings::POD_SHUTDOWN_TIMEOUT,
                        None => RelaySettings::SHUTDOWN_TIMEOUT,
                    },
                    pod: settings.pod.as_ref().map(|pod| fprs_relay::Pod {
                        made_for: pod.made_for.clone(),
                        program: pod.program,
                    }),
                },
                (settings.cores, &budget),
                listen,
                tracing.as_ref(),
                &process.registry,
                &mut process.parts,
            )?;
            // It runs what control tells it, and knows nothing else of the store.
            let (ready, open): (ReadyCheck, _) = match &settings.pod {
                Some(_) => (relay.pod_ready(), relay.pod_routes()),
                None => (Arc::new(|| Ok(())), Router::new()),
            };
            process.admin_with(
                open,
                (Arc::default(), ready),
                Routes::default(),
                Router::new(),
            )?;
            let attached = relay.attached();
            let never = std::future::pending();
            let ended = process.run_until(settings, attached, never).await;
            relay.stop().await;
            ended
        },
    )
}

/// What a process of one role has.
struct Process {
    dir: DataDir,
    token: String,
    registry: Registry,
    parts: Parts,
    listen: Option<SocketAddr>,
    admin_listener: Option<std::net::TcpListener>,
    admin_address: SocketAddr,
    /// Another process accepts on the admin port.
    relieved: CancellationToken,
    /// Commands in this data dir talk to it.
    announces: bool,
}

fn block_on(
    settings: Settings,
    role: impl AsyncFnOnce(&Settings, &mut Process) -> Result<(), Failure>,
) -> Result<(), Failure> {
    run(&settings, process::runtime, async {
        let dir = DataDir::open(&settings.data_dir)?;
        let mut process = Process::new(&settings, dir, bind("admin", settings.admin)?)?;
        role(&settings, &mut process).await
    })
}

/// Runs a role's process to its end.
fn run(
    settings: &Settings,
    runtime: impl FnOnce() -> Result<Runtime, Failure>,
    process: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    process::log(settings.log_format);
    let runtime = runtime()?;
    let ended = runtime.block_on(process);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended
}

impl Process {
    fn new(
        settings: &Settings,
        dir: DataDir,
        admin_listener: std::net::TcpListener,
    ) -> Result<Self, Failure> {
        let token = dir.token(settings.admin_token.as_ref())?;
        Ok(Self {
            dir,
            token,
            registry: roles::registry()?,
            parts: Parts::default(),
            listen: None,
            admin_address: bound(&admin_listener)?,
            admin_listener: Some(admin_listener),
            relieved: CancellationToken::new(),
            announces: false,
        })
    }

    fn feed(&self, settings: &Settings, role: Role) -> Result<SharedStore, Failure> {
        let follower = format!("{}-{}", role.name(), std::process::id());
        FeedClient::new(&settings.control, &self.token, &follower)
            .map(|feed| {
                let feed = feed.answering_at(self.admin_address);
                Arc::new(feed.in_cell(settings.cell.as_deref())) as SharedStore
            })
            .map_err(Failure::new)
    }

    /// Serves the admin port of a role that is not control.
    fn admin(
        &mut self,
        status: Arc<Status>,
        ready: ReadyCheck,
        grpc: Routes,
        api: Router,
    ) -> Result<(), Failure> {
        self.admin_with(Router::new(), (status, ready), grpc, api)
    }

    /// The same, with routes for everybody who reaches the port.
    fn admin_with(
        &mut self,
        open: Router,
        (status, ready): (Arc<Status>, ReadyCheck),
        grpc: Routes,
        api: Router,
    ) -> Result<(), Failure> {
        let admin = Admin {
            registry: self.registry.clone(),
            token: self.token.clone(),
            ready,
            config: status,
            grpc,
            api,
        };
        self.serve_admin(admin.into_control_admin().router().merge(open))
    }

    fn serve_admin(&mut self, routes: Router) -> Result<(), Failure> {
        match self.admin_listener.take() {
            Some(listener) => {
                let relieved = self.relieved.clone().cancelled_owned();
                roles::serve(listener, routes, &mut self.parts, relieved)
            }
            None => Ok(()),
        }
    }

    /// Says that the role serves, and waits for the end.
    async fn run(&mut self, settings: &Settings, view: View) -> Result<(), Failure> {
        let never = std::future::pending();
        self.run_until(settings, known(view), never).await
    }

    /// Like [`run`](Self::run), for a role that serves as soon as `serves` says so, and may end by
    /// `enough` too.
    async fn run_until(
        &mut self,
        settings: &Settings,
        serves: impl Future<Output = bool>,
        enough: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let running = Running {
            pid: std::process::id(),
            listen: self.listen,
            admin: self.admin_address,
            edge: None,
            zone: settings.zone.clone(),
        };
        let (dir, announces) = (self.dir.clone(), self.announces);
        let serve = async {
            if announces {
                dir.announce(&running)?;
            }
            if serves.await {
                if let Some(path) = &settings.ready_file {
                    write_whole(path, &running)?;
                }
                notify::ready();
                tracing::info!(admin = %running.admin, listen = ?running.listen, "serving");
            }
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = self.parts.ended() => Err(ended),
            ended = serve => ended,
            ended = process::terminated() => ended,
            ended = enough => ended,
        };
        notify::stopping();
        if announces {
            dir.retract();
        }
        ended
    }
}

/// Waits until what the store holds is known.
async fn known(mut view: View) -> bool {
    view.changed().await.is_some()
}
