//! Takes the reports of proxies: each into the demand, each answered by an acknowledgement. Only
//! the holder of the lease does; elsewhere a stream ends at once, and its proxy looks for the holder
//! again.

use std::pin::Pin;
use std::sync::Arc;

use fprs_proto::demand::demand_server::{Demand as DemandService, DemandServer};
use fprs_proto::demand::{CountAck, DemandReport, RelayCounts, ReportAck};
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::shared::Shared;

/// Largest report: 200,000 replicas or servers named with 80 bytes each.
const REPORT_BYTES: usize = 16 * 1024 * 1024;

/// The demand service of one autoscaler.
#[derive(Clone, Debug)]
pub struct Reports {
    shared: Arc<Shared>,
}

/// The service to serve. Who may call it is the caller's business.
pub(crate) fn service(shared: Arc<Shared>) -> DemandServer<Reports> {
    DemandServer::new(Reports { shared }).max_decoding_message_size(REPORT_BYTES)
}

#[tonic::async_trait]
impl DemandService for Reports {
    type ReportStream = Pin<Box<dyn Stream<Item = Result<ReportAck, Status>> + Send>>;

    async fn report(
        &self,
        request: Request<Streaming<DemandReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        if !self.shared.leads() {
            return Err(standby());
        }
        let shared = Arc::clone(&self.shared);
        let acks = request.into_inner().map(move |report| {
            let report = report?;
            if !shared.leads() {
                return Err(standby());
            }
            Ok(ReportAck {
                sequence: report.sequence,
                resync: shared.take(&report),
            })
        });
        Ok(Response::new(Box::pin(acks)))
    }

    async fn count(&self, request: Request<RelayCounts>) -> Result<Response<CountAck>, Status> {
        if !self.shared.leads() {
            return Err(standby());
        }
        self.shared.count(request.into_inner());
        Ok(Response::new(CountAck {}))
    }
}

fn standby() -> Status {
    Status::unavailable("this autoscaler does not hold the lease; report to the one that does")
}
