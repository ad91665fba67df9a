//! [`LogClient`]: a client of the certificate log, over control's socket. It believes nothing that it cannot check.

use anyhow::{Context, anyhow, bail};
use config::Config;
use ct::{
    AddChainReply, Base64, Certificate, ChainRules, GetSthReply, Hash, LogEntry, LogKey, Roots,
    Sct, SignedTreeHead, Submission, TreeHead, is_precertificate, verify_inclusion,
};
use node::admin::{Request, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::options::Options;

/// How long an SCT may lie ahead of this machine's clock, in milliseconds.
const AHEAD_MS_MAX: u64 = 10_000;

/// Asks the log of this node's cluster.
#[derive(Debug)]
pub struct LogClient {
    client: Client,
    config: Config,
    shard: Option<String>,
}

/// An entry that is in the tree, as far as its key can be trusted.
#[derive(Debug)]
pub struct Proven {
    /// Its place.
    pub leaf_index: u64,
    /// Its leaf hash.
    pub leaf_hash: Hash,
    /// The tree in which it is.
    pub head: TreeHead,
    /// The proof, from the leaf up.
    pub audit_path: Vec<Hash>,
}

#[derive(Serialize)]
struct AddChain {
    chain: Vec<Base64>,
}

#[derive(Deserialize)]
struct RootsReply {
    certificates: Vec<Base64>,
}

#[derive(Deserialize)]
struct ProofReply {
    leaf_index: u64,
    audit_path: Vec<Base64>,
}

/// What the log says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    error_message: String,
}

impl LogClient {
    /// Of this node's configuration.
    ///
    /// # Errors
    /// There is no log in it, or no such shard; or control does not answer.
    pub fn connect(options: &Options, shard: Option<&str>) -> anyhow::Result<Self> {
        let config = options.configuration()?;
        let names: Vec<&str> = config.ct.shards.iter().map(|shard| &*shard.name).collect();
        if let Some(shard) = shard.filter(|shard| !names.contains(shard)) {
            bail!(
                "ct.shards has no {shard}; expected one of {}",
                names.join(", ")
            );
        }
        Ok(Self {
            client: options.connect()?,
            shard: shard.map(str::to_owned),
            config,
        })
    }

    /// The shard that was named, or the only one.
    ///
    /// # Errors
    /// There are several.
    pub fn shard_name(&self) -> anyhow::Result<String> {
        match (&self.shard, &self.config.ct.shards[..]) {
            (Some(name), _) => Ok(name.clone()),
            (None, [only]) => Ok(only.name.clone()),
            (None, shards) => {
                let names: Vec<&str> = shards.iter().map(|shard| &*shard.name).collect();
                bail!("which of the shards {}? Name one", names.join(", "))
            }
        }
    }

    /// The text at a path.
    ///
    /// # Errors
    /// The log refuses.
    pub fn get(&mut self, path: &str) -> anyhow::Result<String> {
        self.call(path, None)
    }

    fn call(&mut self, path: &str, body: Option<String>) -> anyhow::Result<String> {
        let request = Request::CtCall {
            path: path.to_owned(),
            body,
        };
        let Response::Ct(reply) = self.client.ask(&request)? else {
            return Err(self.client.mismatch().into());
        };
        if reply.status == 200 {
            return Ok(reply.body);
        }
        let refusal: Result<Refusal, _> = serde_json::from_str(&reply.body);
        let text = refusal.map_or(reply.body, |refusal| refusal.error_message);
        Err(anyhow!("{path}: the log says {}: {text}", reply.status))
    }

    fn api<T: DeserializeOwned>(
        &mut self,
        call: &str,
        query: &str,
        body: Option<String>,
    ) -> anyhow::Result<T> {
        let shard = self.shard.as_ref();
        let shard = shard.map_or(String::new(), |shard| format!("shard={shard}&"));
        let path = format!("/api/v1/ct/{call}?{shard}{query}");
        let text = self.call(path.trim_end_matches(['?', '&']), body)?;
        serde_json::from_str(&text).with_context(|| format!("{path}: the reply cannot be read"))
    }

    /// Submits a chain, whose first certificate says what it is.
    ///
    /// # Errors
    /// The log does not take it.
    pub fn add_chain(&mut self, chain: &[Vec<u8>]) -> anyhow::Result<AddChainReply> {
        let call = match submission_of(chain)? {
            Submission::Precertificate => "add-pre-chain",
            Submission::Certificate => "add-chain",
        };
        let chain = chain.iter().cloned().map(Base64).collect();
        let body = serde_json::to_string(&AddChain { chain })?;
        self.api(call, "", Some(body))
    }

    /// Submits a chain, and checks that the log has it.
    ///
    /// # Errors
    /// The log does not answer, or what it answers does not hold.
    pub fn prove(&mut self, chain: &[Vec<u8>]) -> anyhow::Result<Proven> {
        let reply = self.add_chain(chain)?;
        let sct = Sct::try_from(&reply).context("the timestamp")?;
        let key = self.key_of(&sct.log_id)?;
        let logged = self.entry_of(chain)?;
        let entry = logged.signed();
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        sct.verify(&entry, &key, algorithms, now_ms()?)
            .context("the timestamp")?;
        // The leaf has the octets that the timestamp signs (RFC 6962 §3.4).
        let leaf = Sct::signed_input(&entry, sct.timestamp_ms, &sct.extensions)?;
        let leaf_hash = Hash::leaf(&leaf);
        let sth: GetSthReply = self.api("get-sth", "", None)?;
        let head = SignedTreeHead::try_from(&sth).context("the head")?;
        head.verify(&key, algorithms).context("the head")?;
        let head = head.head;
        let hash = data_encoding::BASE64.encode(&leaf_hash.0);
        let hash = hash.replace('+', "%2B").replace('/', "%2F");
        let query = format!("hash={hash}&tree_size={}", head.size);
        let proof: ProofReply = self.api("get-proof-by-hash", &query, None)?;
        let audit_path = proof.audit_path.iter().map(|hash| {
            let bytes = hash.0.as_slice().try_into();
            bytes.map(Hash).context("a hash of the proof")
        });
        let audit_path = audit_path.collect::<anyhow::Result<Vec<_>>>()?;
        let leaf_index = proof.leaf_index;
        // Of a timestamp that says where the entry is.
        if sct
            .extensions
            .leaf_index()
            .is_some_and(|promised| promised != leaf_index)
        {
            bail!("the proof is of another place than the timestamp promises");
        }
        verify_inclusion(&leaf_hash, leaf_index, head.size, &audit_path, &head.root)
            .context("the proof")?;
        Ok(Proven {
            leaf_index,
            leaf_hash,
            head,
            audit_path,
        })
    }

    /// What the log has of a chain, found by its rules: a root that is left out is one that it accepts and that has signed, which
    /// is checked here. The entry of a precertificate tells who issues.
    fn entry_of(&mut self, chain: &[Vec<u8>]) -> anyhow::Result<LogEntry> {
        let accepted: RootsReply = self.api("get-roots", "", None)?;
        let mut roots = Roots::default();
        for Base64(der) in &accepted.certificates {
            roots.insert(der).context("a root of the log")?;
        }
        let rules = ChainRules {
            roots: &roots,
            algorithms: webpki::ALL_VERIFICATION_ALGS,
            certificates_max: chain.len(),
            bytes_max: usize::MAX,
        };
        let accepted = rules.check(submission_of(chain)?, chain);
        Ok(accepted.context("the chain")?.entry)
    }

    /// The key of a shard of the configuration, by the id of its log.
    fn key_of(&mut self, log_id: &Hash) -> anyhow::Result<LogKey> {
        let shard = self.config.ct.shards.iter().find_map(|shard| {
            let key = LogKey::new(&shard.public_key.0).ok()?;
            (key.id() == *log_id).then(|| (shard.name.clone(), key))
        });
        let (name, key) = shard.with_context(|| format!("ct.shards has no log {log_id}"))?;
        // What follows is asked of the shard that took it.
        self.shard = Some(name);
        Ok(key)
    }
}

fn submission_of(chain: &[Vec<u8>]) -> anyhow::Result<Submission> {
    let first = chain.first().context("the chain is empty")?;
    let certificate = Certificate::parse(first).context("the first certificate")?;
    let is_poisoned = is_precertificate(&certificate).context("the first certificate")?;
    Ok(match is_poisoned {
        true => Submission::Precertificate,
        false => Submission::Certificate,
    })
}

/// By this machine's clock, and a little ahead.
fn now_ms() -> anyhow::Result<u64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_millis())? + AHEAD_MS_MAX)
}
