//! A validator that takes part in consensus as it should, and lies about the certificate log: for each head that is decided it
//! cosigns others, to each peer something else, and never the right one; whatever is fetched from it is forged.
//!
//! `mesh_liar CONFIG` takes the place of nexus-control at a node whose log has run before: it has the node's key, its store, its
//! connections and its cosigner's key, and no key of a shard. The lab runs it among honest nodes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use config::Config;
use consensus::{Message, NodeId, Params, Reader, Signer as _, Writer};
use ct::{
    Checkpoint, DigitallySigned, Hash, KeyName, LogKey, Note, SignedTreeHead, TreeHead, cosignature,
};
use data_encoding::HEXLOWER;
use ed25519_zebra::{SigningKey, VerificationKeyBytes};
use ledger::{Applications, CtNews, Ledger, Parameters, Score, checks_of};
use node::mesh::driver::{Driver, DriverLimits, Event, Hooks, Publication, Setup, start};
use node::mesh::store::RealDisk;
use node::mesh::{Identity, LedgerBundler, Network, Settings, genesis, kernel_socket};

/// Kinds of messages between logs: a cosigned head, a file that is asked for, a piece of one.
const KINDS: [u8; 3] = [16, 17, 18];
/// How far ahead of the tree a head is that nobody has decided.
const AHEAD: u64 = 1000;
/// Most bytes of a name or path in a message.
const TEXT_BYTES_MAX: usize = 96;

/// What is forged.
struct Forger {
    key: SigningKey,
    name: KeyName,
    public: [u8; 32],
    /// Names of logs and their keys by the names of shards.
    shards: BTreeMap<Arc<str>, (KeyName, LogKey)>,
    /// The last head of each shard.
    heads: Mutex<BTreeMap<Arc<str>, TreeHead>>,
}

impl Forger {
    fn new(config: &Config, node: NodeId) -> anyhow::Result<Self> {
        let log_id = config.ct.log_id.as_deref().context("no ct.log_id")?;
        let name = |text: String| KeyName::new(&text).context("no name of a key");
        let folder = config.node.data_dir.join(&config.ct.folder);
        let secret = std::fs::read(folder.join("state/cosigner.key"))?;
        let secret = HEXLOWER.decode(secret.trim_ascii())?;
        let key = SigningKey::try_from(secret.as_slice())?;
        let mut shards = BTreeMap::new();
        for shard in &config.ct.shards {
            let origin = name(format!("{log_id}/{}", shard.name))?;
            let log_key = LogKey::new(&shard.public_key.0)?;
            shards.insert(Arc::from(shard.name.as_str()), (origin, log_key));
        }
        Ok(Self {
            public: VerificationKeyBytes::from(&key).into(),
            key,
            name: name(format!("{log_id}/{node}"))?,
            shards,
            heads: Mutex::default(),
        })
    }

    /// The last head of a shard; what it takes the place of.
    fn keep(&self, shard: &Arc<str>, head: TreeHead) -> Option<TreeHead> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.insert(Arc::clone(shard), head)
    }

    /// A tree that nobody has, cosigned.
    fn cosign(&self, origin: &KeyName, size: u64, seed: &str, time_s: u64) -> anyhow::Result<Note> {
        let root = Hash::of(format!("{seed} {size}").as_bytes());
        let text = Checkpoint::new(origin, size, root).to_text();
        let signature = self.key.sign(&cosignature::message(&text, time_s));
        let line = cosignature::signature_line(&self.name, &self.public, time_s, &signature.into());
        Ok(Note::new(text, vec![line])?)
    }

    /// What is said to a peer when a head was decided.
    fn notes(
        &self,
        shard: &Arc<str>,
        (head, before): (TreeHead, Option<TreeHead>),
        peer: NodeId,
    ) -> anyhow::Result<Vec<Note>> {
        let (origin, _) = self.shards.get(shard).context("a shard of others")?;
        let (size, time_s) = (head.size, head.timestamp_ms / 1000);
        let mut notes = vec![
            self.cosign(origin, size, "all", time_s)?,
            self.cosign(origin, size, &peer.to_string(), time_s)?,
            self.cosign(origin, size + AHEAD, "all", time_s + 1)?,
        ];
        if let Some(before) = before.filter(|before| before.size < size) {
            notes.push(self.cosign(origin, before.size, "past", time_s)?);
        }
        Ok(notes)
    }

    /// A checkpoint for clients: far ahead, cosigned, with a signature in the log's name that is none of its key's.
    fn checkpoint(&self, shard: &str) -> anyhow::Result<String> {
        let (origin, log_key) = self.shards.get(shard).context("no such shard")?;
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = *heads.get(shard).context("no head yet")?;
        head.size += AHEAD;
        let cosigned = self.cosign(origin, head.size, "all", head.timestamp_ms / 1000)?;
        head.root = Checkpoint::parse(cosigned.text())?.root();
        let one_and_one = vec![0x30, 6, 2, 1, 1, 2, 1, 1];
        let signature = DigitallySigned::ecdsa(one_and_one).context("a short signature")?;
        let mut note = SignedTreeHead { head, signature }.to_note(origin, &log_key.id());
        for line in cosigned.signatures() {
            note.sign(line.clone())?;
        }
        Ok(note.to_string())
    }
}

/// A file of the right length with nothing of the tree in it.
fn forged_file(path: &str) -> Vec<u8> {
    let width = path.rsplit_once(".p/").map_or("256", |(_, width)| width);
    let hashes = width.parse().unwrap_or(256);
    let seed = Hash::of(path.as_bytes()).0;
    match path.split_once('/') {
        Some(("tile", rest)) if !rest.starts_with("data/") => seed.repeat(hashes),
        Some(("digest", _)) => seed.to_vec(),
        _ => seed.repeat(40),
    }
}

/// Its part on the replica's thread.
struct Liar {
    network: Arc<Network>,
    peers: Vec<NodeId>,
    forger: Arc<Forger>,
}

impl Liar {
    fn say(&self, to: NodeId, message: Writer) {
        self.network
            .send(to, &Message::Application(message.into_bytes()));
    }

    #[expect(clippy::print_stdout, reason = "who runs it reads what it did")]
    fn on_head(&self, shard: &Arc<str>, head: TreeHead) {
        let before = self.forger.keep(shard, head);
        let mut count = 0;
        for peer in &self.peers {
            let notes = self.forger.notes(shard, (head, before), *peer);
            for note in notes.into_iter().flatten() {
                let mut message = Writer::default();
                message.u8(KINDS[0]);
                message.block(note.to_string().as_bytes());
                self.say(*peer, message);
                count += 1;
            }
        }
        println!("cosigned {count} forged heads at {} entries", head.size);
    }

    /// A peer asks for a part of a file.
    #[expect(clippy::print_stdout, reason = "who runs it reads what it did")]
    fn on_wanted(&self, from: NodeId, bytes: &[u8]) -> Result<(), consensus::DecodeError> {
        let mut wanted = Reader::new(bytes);
        let (kind, ask) = (wanted.u8()?, wanted.u64()?);
        if kind != KINDS[1] {
            return Ok(());
        }
        wanted.block("bytes of a name", TEXT_BYTES_MAX)?;
        let path = wanted.block("bytes of a path", TEXT_BYTES_MAX)?;
        let path = String::from_utf8_lossy(path);
        let file = forged_file(&path);
        let mut message = Writer::default();
        message.u8(KINDS[2]);
        message.u64(ask);
        message.u64(file.len() as u64);
        message.block(&file);
        self.say(from, message);
        println!("gave {from} a forged {path}");
        Ok(())
    }
}

impl Hooks<Ledger> for Liar {
    fn on_applied(&mut self, ledger: &mut Ledger) -> Option<Publication> {
        drop(ledger.take_changes());
        for news in ledger.take_ct_news() {
            if let CtNews::Head { shard, head } = news {
                self.on_head(&shard, head);
            }
        }
        None
    }

    fn on_event(&mut self, event: Event) {
        if let Event::Message(from, bytes) = event {
            let _ = self.on_wanted(from, &bytes); // Who asks wrongly gets nothing.
        }
    }
}

/// Serves forged checkpoints and tiles where clients look for the node's log.
fn serve(listener: &TcpListener, forger: &Forger) {
    for stream in listener.incoming().flatten() {
        let _ = reply(stream, forger); // The client has gone.
    }
}

fn reply(mut stream: TcpStream, forger: &Forger) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().context("no request")??;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (shard, path) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or_default();
    let (kind, body) = match path {
        "checkpoint" => ("text/plain", forger.checkpoint(shard)?.into_bytes()),
        _ => ("application/octet-stream", forged_file(path)),
    };
    let caching = "cache-control: max-age=1, immutable";
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{caching}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    Ok(stream.write_all(&body)?)
}

/// The ledger's, as the configuration of all nodes has them.
fn parameters(consensus: &config::Consensus) -> Parameters {
    Parameters {
        isolation_ms: u64::from(consensus.isolation_secs) * 1000,
        isolation_below: Score::from_micros(consensus.isolation_below_percent * 10_000),
        window_ms: u64::from(consensus.report_window_secs) * 1000,
        ..Parameters::default()
    }
}

fn begin(config: &Config) -> anyhow::Result<(Driver, Arc<Forger>)> {
    let identity = Identity::load_or_create(&config.node)?;
    let genesis = genesis(&config.consensus)?;
    let (own, cluster) = (identity.id(), genesis.cluster());
    let address = genesis.member(own).context("no member")?.address;
    let (sender, inbound) = crossbeam_channel::bounded(16_384);
    let network = Arc::new(Network::start(Settings {
        identity: identity.clone(),
        cluster,
        configuration: &genesis,
        socket: kernel_socket(SocketAddr::new(
            address.ip(),
            config.dataplane.ports.consensus,
        ))?,
        inbound: sender,
        checks_of: Box::new(move |request| checks_of(cluster, request)),
    })?);
    let forger = Arc::new(Forger::new(config, own)?);
    let liar = Liar {
        network: Arc::clone(&network),
        peers: genesis.voters().filter(|id| *id != own).collect(),
        forger: Arc::clone(&forger),
    };
    let driver = start(Setup {
        folder: config.node.data_dir.join("consensus"),
        disk: Arc::new(RealDisk),
        genesis: genesis.clone(),
        params: Params::default(),
        signer: identity,
        machine: Ledger::new(
            &genesis,
            parameters(&config.consensus),
            Applications::default(),
        ),
        hooks: liar,
        bundler: LedgerBundler,
        outbox: network,
        inbound,
        limits: DriverLimits::default(),
    })?;
    Ok((driver, forger))
}

fn main() -> anyhow::Result<()> {
    let config = std::env::args().nth(1).context("usage: mesh_liar CONFIG")?;
    let config = Config::load_or_default(Some(Path::new(&config)))?;
    let listener = TcpListener::bind(config.ct.listen.context("no ct.listen")?)?;
    let (_driver, forger) = begin(&config)?;
    serve(&listener, &forger);
    Ok(())
}
