//! What the command line asks of the mesh.

use std::future::Future;
use std::time::Duration;

use consensus::Role;
use ledger::Ledger;

use super::records::Wanted;
use super::{Mesh, Running};
use crate::admin::{Failure, FailureCode, MeshRequest, Response};
use crate::mesh::driver::SubmitError;

/// The replica's thread answers in moments unless the disk holds it up.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

impl Mesh {
    /// Carries out one request of the command line.
    pub(crate) async fn carry_out(&self, request: MeshRequest) -> Result<Response, Failure> {
        match request {
            MeshRequest::ClusterStatus {} => {
                let status = self.cluster_status().await?;
                Ok(Response::ClusterStatus(Box::new(status)))
            }
            MeshRequest::PeerList {} => Ok(Response::Peers {
                peers: self.assessments().await?,
            }),
            MeshRequest::PeerShow { node } => {
                let peer = self.assessment(&node).await?;
                Ok(Response::Peer(Box::new(peer)))
            }
            MeshRequest::ZoneShow { zone, linearizable } => {
                let shown = self.show_zone(&zone, linearizable).await?;
                Ok(Response::ZoneText(shown))
            }
            MeshRequest::ZoneCreate {
                zone,
                text,
                replace,
            } => {
                let changed = self.create_zone(&zone, text, replace).await?;
                Ok(Response::ZoneChanged(changed))
            }
            MeshRequest::ZoneAdd {
                zone,
                owner,
                ttl_secs,
                record_type,
                data,
            } => {
                let record = Wanted::Add(ttl_secs, &record_type, &data);
                let changed = self.change_records(&zone, &owner, record).await?;
                Ok(Response::ZoneChanged(changed))
            }
            MeshRequest::ZoneDeleteRecords {
                zone,
                owner,
                record_type,
                data,
            } => {
                let records = Wanted::Delete(record_type.as_deref(), data.as_deref());
                let changed = self.change_records(&zone, &owner, records).await?;
                Ok(Response::ZoneChanged(changed))
            }
            MeshRequest::ZoneRemove { zone } => {
                let changed = self.remove_zone(&zone).await?;
                Ok(Response::ZoneChanged(changed))
            }
        }
    }

    /// What has been started, for people.
    pub(super) fn part(&self) -> Result<&Running, Failure> {
        self.running().map_err(|error| failure(&error))
    }

    /// Looks at the ledger between two steps.
    pub(super) async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let seen = self.part()?.handle.inspect::<Ledger, R>(look);
        in_time(seen).await?.map_err(|error| failure(&error))
    }
}

async fn in_time<T>(seen: impl Future<Output = T>) -> Result<T, Failure> {
    let seen = tokio::time::timeout(LOOK_PATIENCE, seen).await;
    seen.map_err(|_| {
        let text = "the replica does not answer: is its disk stuck?";
        Failure::new(FailureCode::Timeout, text)
    })
}

/// Why nothing came of a wish.
pub(super) fn failure(error: &SubmitError) -> Failure {
    let code = match error {
        SubmitError::Timeout(_) => FailureCode::Timeout,
        SubmitError::Oversized { .. } => FailureCode::BadRequest,
        SubmitError::Busy | SubmitError::Stopped(_) | SubmitError::NoQuorum => {
            FailureCode::Unavailable
        }
    };
    Failure::new(code, error.to_string())
}

/// As in the configuration.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Authority => "authority",
        Role::Resolver => "resolver",
        Role::Witness => "witness",
        Role::Edge => "edge",
    }
}
