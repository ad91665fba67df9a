//! `nexus ct validate`: a chain judged, each step with its result.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ct::Base64;
use node::admin::{CertificateChain, Request, Response};
use node::certs::{Judge, Materials};
use pki::{Status, Verdict};

use crate::chain_file;
use crate::client::ClientError;
use crate::exit::Exit;
use crate::options::Options;
use crate::print::{self, Align, Table};

const EXAMPLES: &str = "\
Examples:
  nexus ct validate chain.pem --host www.example.com
  nexus ct validate chain.pem --host www.example.com --port 443    TLSA records count
  nexus ct validate chain.pem --offline --roots roots.pem --crl list.crl
  nexus ct validate chain.pem --json | jq -r .reason

Control judges if it runs: it has a resolver, and keeps what it fetches. Otherwise, or with --offline,
--no-fetch, --roots, --private-roots or --log-list, this program does, by the same rules.

Exit status 0 valid, 1 invalid or not judged, 2 wrong arguments or input, 3 unknown.";

/// Judge a certificate: path, host, timestamps of logs, revocation, and what the host's domain allows.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CtValidate {
    /// Certificates, PEM or DER, the one to be judged first.
    chain: PathBuf,
    /// Domain or address that the certificate should be for.
    #[arg(long)]
    host: Option<String>,
    /// TCP port of the server, for its TLSA records.
    #[arg(long)]
    port: Option<u16>,
    /// OCSP response that the server sent, DER.
    #[arg(long, value_name = "FILE")]
    ocsp: Option<PathBuf>,
    /// List of timestamps that the server sent in the TLS extension.
    #[arg(long, value_name = "FILE")]
    scts: Option<PathBuf>,
    /// Revocation lists, PEM or DER; may be given more than once.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Public authorities (PEM) instead of the configured ones.
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// The operator's own authorities (PEM), which need not log what they issue.
    #[arg(long, value_name = "FILE")]
    private_roots: Option<PathBuf>,
    /// Known logs (JSON, version 3) instead of the configured ones.
    #[arg(long, value_name = "FILE")]
    log_list: Option<PathBuf>,
    /// Ask no responder and fetch no list and no issuer.
    #[arg(long)]
    no_fetch: bool,
    /// Do not ask control either.
    #[arg(long)]
    offline: bool,
}

impl CtValidate {
    /// Has the chain judged and prints the verdict.
    ///
    /// # Errors
    /// When a file cannot be read, or there is nothing to judge by.
    pub fn run(&self, options: &Options, out: &mut impl Write) -> anyhow::Result<Exit> {
        let chain = self.read()?;
        let verdict = match self.is_alone() {
            true => self.judge_alone(options, chain)?,
            false => match ask(options, &chain) {
                Err(error) if is_absent(&error) => self.judge_alone(options, chain)?,
                answered => answered?,
            },
        };
        if options.json {
            print::json(out, &verdict)?;
        } else {
            write_verdict(out, &verdict)?;
        }
        Ok(match verdict.status {
            Status::Valid => Exit::Success,
            Status::Invalid => Exit::Failure,
            Status::Unknown => Exit::Unknown,
        })
    }

    /// Whether something is asked for that control does otherwise.
    fn is_alone(&self) -> bool {
        let files = [&self.roots, &self.private_roots, &self.log_list];
        self.offline || self.no_fetch || files.into_iter().any(Option::is_some)
    }

    fn read(&self) -> anyhow::Result<CertificateChain> {
        let chain = chain_file::read(&self.chain)?;
        let mut lists = Vec::new();
        for path in &self.crl {
            lists.extend(chain_file::read_revocation_lists(path)?);
        }
        let whole = |path: &Option<PathBuf>| {
            let path = path.as_deref();
            path.map(chain_file::read_whole).transpose()
        };
        Ok(CertificateChain {
            chain: chain.into_iter().map(Base64).collect(),
            host: self.host.clone(),
            port: self.port,
            ocsp: whole(&self.ocsp)?.map(Base64),
            scts: whole(&self.scts)?.map(Base64),
            lists: lists.into_iter().map(Base64).collect(),
        })
    }

    fn judge_alone(&self, options: &Options, chain: CertificateChain) -> anyhow::Result<Verdict> {
        let mut config = options.configuration()?.ct;
        if let Some(roots) = &self.roots {
            config.trust_anchors.clone_from(roots);
        }
        config.private_anchors = self.private_roots.clone().or(config.private_anchors);
        config.log_list = self.log_list.clone().or(config.log_list);
        config.revocation.fetch &= !self.no_fetch && !self.offline;
        let materials = Materials::read(&config)?;
        let judge = Judge::new(materials, &config.revocation);
        let (request, lists) = chain.into_request()?;
        Ok(judge.judge_alone(request, lists)?)
    }
}

fn ask(options: &Options, chain: &CertificateChain) -> anyhow::Result<Verdict> {
    let mut client = options.connect()?;
    match client.ask(&Request::CertificateValidate(chain.clone()))? {
        Response::CertificateVerdict(verdict) => Ok(*verdict),
        _ => Err(client.mismatch().into()),
    }
}

/// Whether there is no control to ask, as opposed to one that refuses.
fn is_absent(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::Connect { .. }))
}

fn write_verdict(out: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    write!(out, "{}", verdict.status)?;
    if let Some(host) = &verdict.host {
        write!(out, " for {}", print::clean(host))?;
    }
    if let Some(reason) = &verdict.reason {
        write!(out, ": {}", print::clean(&reason.to_string()))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    writeln!(
        out,
        "\nSHA-256 {}, judged in {} us, holds for {}",
        verdict.fingerprint,
        print::thousands(verdict.total_micros),
        print::duration(verdict.good_until_unix_secs.saturating_sub(now))
    )?;
    let mut table = Table::new(&[
        ("STEP", Align::Left),
        ("RESULT", Align::Left),
        ("US", Align::Right),
        ("REASON", Align::Left),
    ]);
    for step in &verdict.steps {
        let reason = step.reason.as_ref().map(ToString::to_string);
        table.row([
            &step.step.to_string(),
            &step.result.to_string(),
            &print::thousands(step.micros),
            &reason.unwrap_or_default(),
        ]);
    }
    table.write(out)
}
