//! Streams demand reports to whoever holds the `autoscaler` lease: every interval, at once when a
//! quiet server has unserved demand, in full on every new stream. Losing the autoscaler never
//! touches a request; counts go on and are told when one is there again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fprs_config::View;
use fprs_proto::demand::demand_client::DemandClient;
use fprs_proto::demand::{DemandReport, ReportAck};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};

use crate::clock;
use crate::demand::Demand;
use crate::report::Coder;

/// The name of the lease whose holder is reported to.
pub const LEASE: &str = "autoscaler";

/// Urgent reports keep this distance, so that demand for many servers at once is told together.
const URGENT_GAP: Duration = Duration::from_millis(2);

/// Reports on their way into the stream. When it is full the autoscaler hangs; counts go on and the
/// next report tells them.
const REPORTS_QUEUED: usize = 4;

/// Without a word from the autoscaler for this long, the stream is dead.
const SILENCE: Duration = Duration::from_secs(2);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// Who reports, how often, and with what credentials.
#[derive(Clone)]
pub struct Settings {
    /// The proxy's name, unique in the plane.
    pub proxy: String,
    /// Grows with every start of this proxy, e.g. the start's Unix time in milliseconds.
    pub epoch: u64,
    /// The admin token that the autoscaler's port asks for.
    pub token: String,
    /// Between regular reports.
    pub interval: Duration,
}

/// Streams demand reports. One per [`Demand`].
#[derive(Debug)]
pub struct Reporter {
    demand: Arc<Demand>,
    view: View,
    woken: mpsc::Receiver<Arc<str>>,
    authorization: MetadataValue<Ascii>,
    interval: Duration,
    coder: Coder,
}

/// Why a reporter can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReporterError {
    /// Two reporters would each tell half of it.
    #[error("this demand registry has a reporter already; use one registry per reporter")]
    Taken,
    /// The token can't be sent.
    #[error("the admin token has bytes that a header can't carry; use printable ASCII")]
    Token,
}

/// Why a stream of reports ended.
enum End {
    /// Another autoscaler holds the lease now, or none.
    LeaseMoved,
    /// The stream broke or went silent.
    Broken,
    /// The process goes down.
    Done,
}

impl Settings {
    /// How often a proxy reports unless told otherwise.
    pub const INTERVAL: Duration = Duration::from_millis(200);
}

impl Reporter {
    /// A reporter of everything in `demand` to the autoscaler named in `view`.
    ///
    /// # Errors
    /// If `demand` has a reporter already or the token can't be sent.
    pub fn new(demand: Arc<Demand>, view: View, settings: Settings) -> Result<Self, ReporterError> {
        let authorization = format!("Bearer {}", settings.token)
            .parse()
            .map_err(|_| ReporterError::Token)?;
        let woken = demand.take_woken().ok_or(ReporterError::Taken)?;
        Ok(Self {
            demand,
            view,
            woken,
            authorization,
            interval: settings.interval,
            coder: Coder::new(settings.proxy, settings.epoch),
        })
    }

    /// Reports until the view's publisher is gone.
    pub async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            let Some(address) = self.autoscaler() else {
                if self.view.changed().await.is_none() {
                    return;
                }
                continue;
            };
            match self.report_to(address, &mut retry).await {
                End::Done => return,
                End::LeaseMoved => retry = FIRST_RETRY,
                End::Broken => {
                    sleep(retry.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// Where the holder of the lease answers. Whether the lease has expired is not asked: clocks
    /// differ, and a holder that still answers is as good as any.
    fn autoscaler(&self) -> Option<SocketAddr> {
        self.view.load().lease(LEASE).map(|lease| lease.address)
    }

    async fn report_to(&mut self, address: SocketAddr, retry: &mut Duration) -> End {
        let (reports, queue) = mpsc::channel(REPORTS_QUEUED);
        let opened = timeout(SILENCE, open(address, self.authorization.clone(), queue)).await;
        let acks = match opened {
            Ok(Ok(acks)) => acks,
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "no stream to the autoscaler yet");
                return End::Broken;
            }
            Err(_) => {
                tracing::debug!(%address, "the autoscaler does not answer");
                return End::Broken;
            }
        };
        tracing::info!(%address, "reporting demand");
        *retry = FIRST_RETRY;
        self.coder.restart();
        let end = self.stream(address, &reports, acks).await;
        tracing::info!(%address, "stopped reporting demand");
        end
    }

    async fn stream(
        &mut self,
        address: SocketAddr,
        reports: &mpsc::Sender<DemandReport>,
        mut acks: Streaming<ReportAck>,
    ) -> End {
        let mut regular = interval(self.interval);
        regular.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut urgent_from = Instant::now();
        let mut pressing = false;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = regular.tick() => {
                    if heard.elapsed() > SILENCE {
                        return End::Broken;
                    }
                    self.take_woken();
                    pressing = false;
                    self.regular(reports);
                }
                Some(name) = self.woken.recv(), if !pressing => {
                    self.woken(name);
                    pressing = true;
                }
                () = sleep_until(urgent_from), if pressing => {}
                ack = acks.message() => match ack {
                    Ok(Some(ack)) => {
                        heard = Instant::now();
                        if ack.resync {
                            self.coder.restart();
                        }
                    }
                    Ok(None) | Err(_) => return End::Broken,
                },
                changed = self.view.changed() => match changed {
                    None => return End::Done,
                    Some(_) if self.autoscaler() != Some(address) => return End::LeaseMoved,
                    Some(_) => {}
                },
            }
            if pressing && Instant::now() >= urgent_from {
                pressing = false;
                urgent_from = Instant::now() + URGENT_GAP;
                self.take_woken();
                self.urgent(reports);
            }
        }
    }

    fn regular(&mut self, reports: &mpsc::Sender<DemandReport>) {
        let Ok(permit) = reports.try_reserve() else {
            return;
        };
        let applied = self.view.load().revision();
        let mut gauges = self.demand.gauges();
        let report = self
            .coder
            .regular(&mut gauges.replicas, applied, clock::now_us());
        drop(gauges);
        permit.send(report);
    }

    /// Without room in the stream the next regular report tells it.
    fn urgent(&mut self, reports: &mpsc::Sender<DemandReport>) {
        let Ok(permit) = reports.try_reserve() else {
            return;
        };
        let applied = self.view.load().revision();
        permit.send(self.coder.urgent(applied, clock::now_us()));
    }

    fn take_woken(&mut self) {
        while let Ok(name) = self.woken.try_recv() {
            self.woken(name);
        }
    }

    fn woken(&mut self, name: Arc<str>) {
        let server = self.demand.gauges().servers.get(&name).map(Arc::clone);
        if let Some(server) = server {
            self.coder.woken(name, &server, clock::now_us());
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("proxy", &self.proxy)
            .field("epoch", &self.epoch)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

async fn open(
    address: SocketAddr,
    authorization: MetadataValue<Ascii>,
    reports: mpsc::Receiver<DemandReport>,
) -> Result<Streaming<ReportAck>, tonic::Status> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| tonic::Status::internal(error.to_string()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .connect()
        .await
        .map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let mut request = Request::new(ReceiverStream::new(reports));
    request
        .metadata_mut()
        .insert("authorization", authorization);
    let acks = DemandClient::new(channel).report(request).await?;
    Ok(acks.into_inner())
}
