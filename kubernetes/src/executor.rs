//! The loop of the executor: whenever the store or the cluster changes, plan; writes of one version in
//! order, of several at once. A call that takes long or fails holds up its own version alone.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use fprs_config::{MadeFor, SharedStore, View};
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::Deployment as DeploymentKind;
use k8s_openapi::api::core::v1::Pod as PodKind;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until, timeout};

use crate::cluster::{COST, COST_ANNOTATION, Cluster, Deployment, Listing, Pod};
use crate::manifest::{self, MANAGER};
use crate::pace::{Paces, Went};
use crate::plan::{Memory, Step, plan};
use crate::settings::Settings;

/// Runs what has an image. Any number may run beside the same store: each writes only what has not
/// changed since it looked.
#[expect(missing_debug_implementations, reason = "a store has none")]
pub struct Executor {
    settings: Settings,
    store: SharedStore,
    view: View,
    deployments: Api<DynamicObject>,
    pods: Api<DynamicObject>,
}

/// Why there is no executor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubernetesError {
    /// Neither in a pod nor with a kubeconfig.
    #[error(
        "no Kubernetes to talk to: {0}; run control in a pod with a service account, or set KUBECONFIG"
    )]
    Nowhere(String),
    /// What the environment says can't be used.
    #[error("can't talk to Kubernetes: {0}")]
    Client(String),
    /// A label's value can't be longer.
    #[error(
        "the zone `{0}` is longer than 63 characters, which is all that a label of a pod takes"
    )]
    Zone(String),
}

/// A call that takes longer has failed.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// Between two plans: a burst of changes is planned once.
const PAUSE: Duration = Duration::from_millis(20);
/// Versions that are written at once.
const AT_ONCE: usize = 8;
/// Between two looks for a store that is away.
const STORE_PAUSE: Duration = Duration::from_millis(500);

type Writing = Pin<Box<dyn Future<Output = (MadeFor, Result<(), WriteError>)> + Send>>;

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("it was changed meanwhile")]
    Conflict,
    #[error(
        "a Deployment `{0}` is there that is not this plane's; delete it, or use another namespace"
    )]
    NotOurs(String),
    #[error(
        "Kubernetes refuses: {0}; the chart's Role `…-replicas` says what control has to be allowed"
    )]
    Forbidden(String),
    #[error("{0}")]
    Failed(String),
}

impl Executor {
    /// An executor in the cluster that the environment names: the pod's own, or a kubeconfig's.
    ///
    /// # Errors
    /// There is none, or the zone can't be a label.
    pub async fn connect(
        settings: Settings,
        store: SharedStore,
        view: View,
    ) -> Result<Self, KubernetesError> {
        let config = Config::infer().await;
        let config = config.map_err(|error| KubernetesError::Nowhere(error.to_string()))?;
        Self::with(settings, store, view, config)
    }

    /// The same, in that cluster.
    ///
    /// # Errors
    /// The configuration can't be used, or the zone can't be a label.
    pub fn with(
        settings: Settings,
        store: SharedStore,
        view: View,
        config: Config,
    ) -> Result<Self, KubernetesError> {
        if settings.pods.plane.len() > LABEL_BYTES {
            return Err(KubernetesError::Zone(settings.pods.plane));
        }
        let client =
            Client::try_from(config).map_err(|error| KubernetesError::Client(error.to_string()))?;
        let namespace = &settings.pods.namespace;
        let deployments = ApiResource::erase::<DeploymentKind>(&());
        let pods = ApiResource::erase::<PodKind>(&());
        Ok(Self {
            deployments: Api::namespaced_with(client.clone(), namespace, &deployments),
            pods: Api::namespaced_with(client, namespace, &pods),
            settings,
            store,
            view,
        })
    }

    /// Runs until the view's follower ends. Dropping it stops it between two writes.
    pub async fn run(mut self) {
        if self.catch_up().await.is_none() {
            return;
        }
        let mut deployments = pin!(self.watch(&self.deployments));
        let mut pods = pin!(self.watch(&self.pods));
        let (mut cluster, mut memory, mut paces) =
            (Cluster::default(), Memory::default(), Paces::default());
        let mut writing: FuturesUnordered<Writing> = FuturesUnordered::new();
        let mut view = self.view.clone();
        loop {
            let mut wake = None;
            if cluster.is_complete() {
                let (snapshot, now) = (self.view.load(), Instant::now());
                let plan = plan(&self.settings, &snapshot, &cluster, &mut memory, now);
                for (made_for, steps) in plan.writes {
                    if writing.len() < AT_ONCE && paces.allows(&made_for, now) {
                        paces.begin(&made_for, now);
                        writing.push(self.write(made_for, steps));
                    }
                }
                wake = plan.wake.into_iter().chain(paces.wake(now)).min();
            }
            tokio::select! {
                event = deployments.next() => {
                    let of = Deployment::of;
                    hear(&mut cluster.deployments, event, of, |deployment| {
                        paces.heard(&deployment.made_for, Instant::now());
                    });
                }
                event = pods.next() => {
                    let of = |object: Value| Pod::of(&object);
                    hear(&mut cluster.pods, event, of, |pod| {
                        paces.heard(&pod.made_for, Instant::now());
                    });
                }
                Some((made_for, written)) = writing.next() => {
                    let went = match &written {
                        Ok(()) => Went::Well,
                        Err(WriteError::Conflict) => Went::Conflict,
                        Err(_) => Went::Wrong,
                    };
                    let failures = paces.end(&made_for, went, Instant::now());
                    complain(&made_for, &written, failures);
                }
                changed = view.changed() => if changed.is_none() {
                    return;
                },
                () = at(wake) => {}
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until the view holds what the store holds now: by an old copy of it, pods that serve would
    /// be too many.
    async fn catch_up(&mut self) -> Option<()> {
        loop {
            match self.store.commit(Vec::new(), Vec::new()).await {
                Ok(revision) => return self.view.reached(revision).await.map(drop),
                Err(error) => {
                    tracing::debug!(%error, "the executor waits for the store");
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    fn watch(
        &self,
        api: &Api<DynamicObject>,
    ) -> impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + Send + use<> {
        let ours = watcher::Config::default().labels(&manifest::selector(&self.settings.pods));
        watcher(api.clone(), ours).default_backoff()
    }

    fn write(&self, made_for: MadeFor, steps: Vec<Step>) -> Writing {
        let (deployments, pods) = (self.deployments.clone(), self.pods.clone());
        Box::pin(async move {
            for step in steps {
                let call = carry_out(&deployments, &pods, step);
                let done = timeout(CALL_WITHIN, call).await;
                let done = done.unwrap_or_else(|_| {
                    Err(WriteError::Failed(format!(
                        "no answer within {CALL_WITHIN:?}"
                    )))
                });
                if let Err(error) = done {
                    return (made_for, Err(error));
                }
            }
            (made_for, Ok(()))
        })
    }
}

async fn carry_out(
    deployments: &Api<DynamicObject>,
    pods: &Api<DynamicObject>,
    step: Step,
) -> Result<(), WriteError> {
    match step {
        Step::Create(deployment) => create(deployments, deployment).await,
        Step::Apply { name, deployment } => {
            let whole = PatchParams::apply(MANAGER).force();
            patch(deployments, &name, &whole, &Patch::Apply(deployment)).await
        }
        Step::Scale {
            name,
            version,
            replicas,
        } => {
            let change = json!({
                "metadata": { "resourceVersion": version },
                "spec": { "replicas": replicas },
            });
            patch(deployments, &name, &part(), &Patch::Merge(change)).await
        }
        Step::Remove { name, uid } => delete(deployments, &name, uid).await,
        Step::Mark { pod, uid } => {
            let change = json!({
                "metadata": { "uid": uid, "annotations": { COST_ANNOTATION: COST } },
            });
            patch(pods, &pod, &part(), &Patch::Merge(change)).await
        }
        Step::Delete { pod, uid } => delete(pods, &pod, uid).await,
    }
}

async fn create(deployments: &Api<DynamicObject>, deployment: Value) -> Result<(), WriteError> {
    let object: DynamicObject = serde_json::from_value(deployment)
        .map_err(|error| WriteError::Failed(error.to_string()))?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match deployments.create(&params, &object).await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some(409) => {
            // Either ours, and the word of it on its way here, or somebody else's.
            let there = deployments.get_opt(&name).await.map_err(failed)?;
            let labels = there.and_then(|there| there.metadata.labels);
            let ours = object.metadata.labels;
            let plane = |labels: &BTreeMap<String, String>| labels.get("fprs/plane").cloned();
            match labels.as_ref().and_then(plane) == ours.as_ref().and_then(plane) {
                true => Err(WriteError::Conflict),
                false => Err(WriteError::NotOurs(name)),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

fn part() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

async fn patch(
    api: &Api<DynamicObject>,
    name: &str,
    params: &PatchParams,
    change: &Patch<Value>,
) -> Result<(), WriteError> {
    api.patch(name, params, change)
        .await
        .map(drop)
        .map_err(failed)
}

/// What is gone already is fine.
async fn delete(api: &Api<DynamicObject>, name: &str, uid: String) -> Result<(), WriteError> {
    let this = Preconditions {
        uid: Some(uid),
        resource_version: None,
    };
    let params = DeleteParams::background().preconditions(this);
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some(404) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn failed(error: kube::Error) -> WriteError {
    match (code(&error), &error) {
        // Gone: the next look plans without it.
        (Some(404 | 409), _) => WriteError::Conflict,
        (Some(403), kube::Error::Api(status)) => WriteError::Forbidden(status.message.clone()),
        (_, kube::Error::Api(status)) => WriteError::Failed(status.message.clone()),
        (_, error) => WriteError::Failed(error.to_string()),
    }
}

/// Takes in what a watch says. One that fails or ends is begun again by itself.
fn hear<T>(
    listing: &mut Listing<T>,
    event: Option<watcher::Result<watcher::Event<DynamicObject>>>,
    of: impl Fn(Value) -> Option<T>,
    mut heard: impl FnMut(&T),
) {
    let known = |object: DynamicObject| {
        let name = object.metadata.name.clone()?;
        let object = serde_json::to_value(object).ok()?;
        Some((name, of(object)?))
    };
    match event {
        Some(Ok(watcher::Event::Init)) => listing.begin(),
        Some(Ok(watcher::Event::InitApply(object))) => {
            if let Some((name, object)) = known(object) {
                heard(&object);
                listing.list(name, object);
            }
        }
        Some(Ok(watcher::Event::InitDone)) => listing.end(),
        Some(Ok(watcher::Event::Apply(object))) => {
            if let Some((name, object)) = known(object) {
                heard(&object);
                listing.put(name, object);
            }
        }
        Some(Ok(watcher::Event::Delete(object))) => {
            let gone = object.metadata.name.and_then(|name| listing.remove(&name));
            gone.iter().for_each(heard);
        }
        Some(Err(error)) => tracing::warn!(%error, "a watch of Kubernetes failed; it begins again"),
        None => {}
    }
}

/// A conflict is no trouble; trouble is told when it begins and, while it lasts, ever more seldom.
fn complain(made_for: &MadeFor, written: &Result<(), WriteError>, failures: u32) {
    let (server, generation) = (&made_for.server, made_for.generation);
    match written {
        Ok(()) => {}
        Err(error @ WriteError::Conflict) => {
            tracing::debug!(%server, generation, %error, "planning again")
        }
        Err(error) => {
            tracing::warn!(%server, generation, %error, failures, "Kubernetes was not told");
        }
    }
}

async fn at(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// Of a label's value.
const LABEL_BYTES: usize = 63;
