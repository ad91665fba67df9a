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
        Ok(match request {
            MeshRequest::ClusterStatus {} => {
                Response::ClusterStatus(Box::new(self.cluster_status().await?))
            }
            MeshRequest::PeerList {} => Response::Peers {
                peers: self.assessments().await?,
            },
            MeshRequest::PeerShow { node } => {
                Response::Peer(Box::new(self.assessment(&node).await?))
            }
            MeshRequest::ZoneShow { zone, linearizable } => {
                Response::ZoneText(self.show_zone(&zone, linearizable).await?)
            }
            MeshRequest::ZoneCreate {
                zone,
                text,
                replace,
            } => Response::ZoneChanged(self.create_zone(&zone, text, replace).await?),
            MeshRequest::ZoneAdd {
                zone,
                owner,
                ttl_secs,
                record_type,
                data,
            } => {
                let wanted = Wanted::Add(ttl_secs, &record_type, &data);
                Response::ZoneChanged(self.change_records(&zone, &owner, wanted).await?)
            }
            MeshRequest::ZoneDeleteRecords {
                zone,
                owner,
                record_type,
                data,
            } => {
                let wanted = Wanted::Delete(record_type.as_deref(), data.as_deref());
                Response::ZoneChanged(self.change_records(&zone, &owner, wanted).await?)
            }
            MeshRequest::ZoneRemove { zone } => {
                Response::ZoneChanged(self.remove_zone(&zone).await?)
            }
            MeshRequest::Propose { wanted } => Response::Proposed(self.propose(wanted).await?),
            MeshRequest::ProposalList {} => Response::Proposals {
                proposals: self.proposals().await?,
            },
        })
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
        let seen = self.inspect(look);
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
        SubmitError::Oversized { .. } | SubmitError::Malformed => FailureCode::BadRequest,
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
