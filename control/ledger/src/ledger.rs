//! [`Ledger`]: the state machine that consensus runs, and what a node asks of it.

use std::sync::Arc;

use consensus::{
    ApplyContext, ClusterId, Configuration, Digest, Member, NodeId, Request, RestoreError,
    SignatureCheck, StateMachine, Wire,
};
use resolver::zone::ZoneContents;

use crate::answer::Question;
use crate::answers::Answer;
use crate::application::{APPLICATION_REPLY_BYTES_MAX, Application, Applications};
use crate::assess::Assessment;
use crate::command::{Command, Commands};
use crate::ct_log::{CtFeed, CtNews, CtShardState, CtValidators};
use crate::members::Proposal;
use crate::outcome::{Outcome, Outcomes};
use crate::parameters::Parameters;
use crate::score::Score;
use crate::snapshot;
use crate::standing::Mark;
use crate::state::{Key, State};
use crate::tree::Tree;
use crate::zones::ZoneChanges;

/// Signatures inside of a request that must hold before a voter prepares it: those of votes and of evidence.
#[must_use]
pub fn checks_of(cluster: ClusterId, request: &Request) -> Vec<SignatureCheck> {
    let commands = Commands::from_bytes(&request.command);
    commands.map_or(Vec::new(), |commands| commands.checks(cluster))
}

/// Zones, answers, members and their standing, as all nodes have them.
///
/// A witness has one, too, for [`StateMachine::is_well_formed`] and [`StateMachine::checks`], and never applies anything.
#[derive(Debug)]
pub struct Ledger {
    /// What it began with, to begin with again.
    genesis: (Configuration, Parameters),
    state: State,
    applications: Applications,
    tree: Tree,
    changes: ZoneChanges,
    ct_feed: CtFeed,
}

impl Ledger {
    /// The state before the first batch. Parameters and names of applications must be the same on all nodes.
    ///
    /// # Panics
    /// A parameter is out of its range: see [`Parameters::is_valid`].
    #[must_use]
    pub fn new(
        genesis: &Configuration,
        parameters: Parameters,
        applications: Applications,
    ) -> Self {
        assert!(parameters.is_valid(), "{parameters:?}");
        Self {
            genesis: (genesis.clone(), parameters),
            state: State::new(genesis, parameters),
            applications,
            tree: Tree::new(),
            changes: ZoneChanges::Steps(Vec::new()),
            ct_feed: CtFeed::default(),
        }
    }

    /// What has happened to zones since this was last asked.
    pub fn take_changes(&mut self) -> ZoneChanges {
        std::mem::replace(&mut self.changes, ZoneChanges::Steps(Vec::new()))
    }

    /// A zone by its name in wire form, lower-case.
    #[must_use]
    pub fn zone(&self, apex: &[u8]) -> Option<&ZoneContents> {
        self.state.zones.get(apex)
    }

    /// All zones, by name.
    pub fn zones(&self) -> impl Iterator<Item = &ZoneContents> {
        self.state.zones.iter()
    }

    /// The validated answer to a question, if it has not expired by the ledger's time.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Option<&Answer> {
        self.state.answers.get(question)
    }

    /// How many validated answers are kept.
    #[must_use]
    pub fn answers_count(&self) -> usize {
        self.state.answers.len()
    }

    /// The last batch's time, milliseconds since 1970.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.state.time_ms
    }

    /// The window in which reports belong now.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.state.window()
    }

    /// Numbers that all nodes share.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.state.parameters
    }

    /// The members that are decided on, by id. The epoch in force may be one behind.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.state.members.values()
    }

    /// Changes that wait for support.
    pub fn proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.state.proposals.values()
    }

    /// Voters whose traffic is to be dropped: at most f.
    #[must_use]
    pub fn shut_out(&self) -> Vec<NodeId> {
        self.state.shut_out()
    }

    /// Whether the consent of all voters is likely to come in time, so that the fast path is worth a try. A node's own
    /// choice: nothing depends on others choosing alike.
    #[must_use]
    pub fn is_fast_path_promising(&self) -> bool {
        self.state.is_fast_path_promising()
    }

    /// How much of the usual time a leader gets before this node wants another, in percent. A node's own choice, too.
    #[must_use]
    pub fn patience_percent(&self, leader: NodeId) -> u32 {
        self.state.patience_percent(leader)
    }

    /// A member's score.
    #[must_use]
    pub fn score(&self, node: NodeId) -> Option<Score> {
        let standing = self.state.standings.get(&node)?;
        Some(standing.score)
    }

    /// What is known of a member.
    #[must_use]
    pub fn assess(&self, node: NodeId) -> Option<Assessment> {
        self.state.assess(node)
    }

    /// The last events behind a member's score, oldest first.
    #[must_use]
    pub fn explain(&self, node: NodeId) -> &[Mark] {
        let standing = self.state.standings.get(&node);
        standing.map_or(&[], |standing| &standing.marks)
    }

    /// Trust of one node in another, as its own reports say.
    #[must_use]
    pub fn trust(&self, reporter: NodeId, subject: NodeId) -> Score {
        self.state.trust(reporter, subject)
    }

    /// What the other voters together think of a node, each as far as it is in good standing itself.
    #[must_use]
    pub fn trust_of_all(&self, subject: NodeId) -> Score {
        self.state.trust_of_all(subject)
    }

    /// Voters that are not shut out, whose score and whose trust by the others reach a minimum.
    #[must_use]
    pub fn trusted(&self, minimum: Score) -> Vec<NodeId> {
        self.state.trusted(minimum)
    }

    /// What has happened to the certificate log since this was last asked. Between two batches.
    pub fn take_ct_news(&mut self) -> Vec<CtNews> {
        self.ct_feed.take(&self.state)
    }

    /// Shards of the certificate log, by name.
    pub fn ct_shards(&self) -> impl Iterator<Item = &CtShardState> {
        self.state.ct.shards.values().map(|log| &log.state)
    }

    /// Who cosigns its heads.
    #[must_use]
    pub fn ct_validators(&self) -> CtValidators {
        self.state.ct_validators()
    }

    /// Digest of the roots that it accepts; none before the members have agreed on some.
    #[must_use]
    pub fn ct_roots(&self) -> Option<Digest> {
        self.state.ct.roots
    }

    /// A registered application.
    #[must_use]
    pub fn application(&self, name: &str) -> Option<&dyn Application> {
        self.applications.get(name)
    }

    fn is_known(&self, command: &Command) -> bool {
        match command {
            Command::Application { name, bytes } => self
                .applications
                .get(name)
                .is_some_and(|application| application.is_well_formed(bytes)),
            _ => true,
        }
    }

    fn execute(&mut self, context: ApplyContext, client: NodeId, command: &Command) -> Outcome {
        if let Err(reason) = self.state.check_client(client) {
            return Outcome::Refused(reason);
        }
        let (state, changes) = (&mut self.state, &mut self.changes);
        let ct_feed = &mut self.ct_feed;
        let outcome = match command {
            Command::ZoneCreate { contents, mode } => state
                .check_holder(client)
                .map(|()| state.create_zone(contents, *mode, changes)),
            Command::ZoneUpdate(update) => state
                .check_holder(client)
                .map(|()| state.update_zone(update, changes)),
            Command::ZoneDelete(apex) => state
                .check_holder(client)
                .map(|()| state.delete_zone(apex, changes)),
            Command::Answers(answers) => state.validate(client, answers),
            Command::CtEntries(submission) => state.add_ct_entries(client, submission, ct_feed),
            Command::CtRefresh(shard) => state.refresh_ct_head(client, shard, ct_feed),
            Command::CtCosigner(key) => state.set_ct_cosigner(client, key),
            Command::Report(report) => state.report(client, *report),
            Command::Measure(subject, measurement) => state.measure(client, *subject, *measurement),
            Command::Evidence(evidence) => state.evidence(evidence),
            Command::Propose(change) => state.propose(client, change, ct_feed),
            Command::Application { name, bytes } => {
                Ok(self.apply_application(context, client, name, bytes))
            }
        };
        outcome.unwrap_or_else(Outcome::Refused)
    }

    fn apply_application(
        &mut self,
        context: ApplyContext,
        client: NodeId,
        name: &str,
        bytes: &Arc<[u8]>,
    ) -> Outcome {
        let application = self.applications.0.get_mut(name);
        let reply = application.map(|application| application.apply(context, client, bytes));
        // One that nobody knows is not well formed and does not come here.
        let mut reply = reply.unwrap_or_default();
        reply.truncate(APPLICATION_REPLY_BYTES_MAX);
        Outcome::Application(reply)
    }

    /// Brings the digest up to what has changed.
    fn flush(&mut self) {
        for key in std::mem::take(&mut self.state.dirty) {
            let value = self.state.value(&key);
            self.tree.set(&key.to_bytes(), value.as_deref());
        }
        for (name, application) in &mut self.applications.0 {
            let root = application.root();
            self.tree.set(&Key::of_application(name), Some(&root.0));
        }
    }
}

impl StateMachine for Ledger {
    fn fresh(&self) -> Self {
        let (genesis, parameters) = &self.genesis;
        Self::new(genesis, *parameters, self.applications.fresh())
    }

    fn is_well_formed(&self, request: &Request) -> bool {
        Commands::from_bytes(&request.command)
            .is_ok_and(|commands| commands.0.iter().all(|command| self.is_known(command)))
    }

    fn checks(&self, cluster: ClusterId, request: &Request) -> Vec<SignatureCheck> {
        checks_of(cluster, request)
    }

    fn apply(&mut self, context: ApplyContext, request: &Request) -> Vec<u8> {
        self.state.advance(context);
        self.ct_feed.begin(&self.state);
        let commands = match Commands::from_bytes(&request.command) {
            Ok(commands) if commands.0.iter().all(|command| self.is_known(command)) => commands.0,
            _ => Vec::new(),
        };
        let client = request.id.client;
        let outcomes = commands
            .iter()
            .map(|command| self.execute(context, client, command));
        Outcomes(outcomes.collect()).to_bytes()
    }

    fn root(&mut self) -> Digest {
        self.flush();
        self.tree.root()
    }

    fn wanted_configuration(&self, current: &Configuration) -> Configuration {
        self.state.wanted_configuration(current)
    }

    fn snapshot(&self) -> Vec<u8> {
        snapshot::write(&self.state, &self.applications)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (state, applications) = snapshot::read(bytes, &self.genesis.0, &self.applications)?;
        self.applications = applications;
        self.state = state;
        self.state.dirty = self.state.keys().collect();
        self.tree = Tree::new();
        self.changes = ZoneChanges::All;
        self.ct_feed.restart(&self.state);
        Ok(())
    }
}
