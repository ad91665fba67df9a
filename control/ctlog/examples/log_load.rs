//! Submits new certificates to a log at a steady rate, and says how long it takes from a submission that is due to the
//! timestamp in hand. One JSON object.
//!
//! `cargo run --release -p ctlog --example log_load -- FOLDER RATE SECONDS URL…`: the folder has `root.pem` and
//! `root.key` (P-256, PKCS #8) of an authority that the log accepts, of the name "Laboratory Root"; a URL stands before
//! `/ct/v1/add-chain`. All certificates are made before the first is sent.

#![expect(
    clippy::print_stdout,
    reason = "its result is for a program that reads it"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use ct::{AddChainReply, Base64};
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, SerialNumber, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Submissions on their way at the same time; more are not sent, and count as not sent.
const OUTSTANDING_MAX: usize = 4096;
/// For one reply.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Body {
    chain: Vec<Base64>,
}

#[derive(Serialize)]
struct Figures {
    wanted_per_second: f64,
    seconds: f64,
    answered: u64,
    answered_per_second: f64,
    not_sent: u64,
    refused: BTreeMap<String, u64>,
    median_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rate, seconds, urls @ ..] = &arguments[..] else {
        return Err("expected FOLDER RATE SECONDS URL…".into());
    };
    let (rate, seconds): (f64, f64) = (rate.parse()?, seconds.parse()?);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a load of a bench, far below"
    )]
    let count = (rate * seconds) as usize;
    let bodies = bodies(Path::new(folder), count)?;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    let figures = runtime.block_on(submit_all(bodies, urls, rate))?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// Requests of certificates that nobody has seen before.
fn bodies(folder: &Path, count: usize) -> Result<Vec<Bytes>, Failure> {
    let root = CertificateDer::from_pem_file(folder.join("root.pem"))?;
    let key = KeyPair::from_pem(&std::fs::read_to_string(folder.join("root.key"))?)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = "Laboratory Root";
    params.distinguished_name.push(DnType::CommonName, name);
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate()?;
    let mut seed = [0; 8];
    aws_lc_rs::rand::fill(&mut seed)?;
    let mut bodies = Vec::with_capacity(count);
    let (year, _, _) = today();
    for number in 0..count {
        let host = format!("{number}.{}.load.example", u64::from_be_bytes(seed));
        let mut params = CertificateParams::new(vec![host])?;
        params.not_before = date_time_ymd(year, 1, 1);
        params.not_after = date_time_ymd(year + 1, 1, 1);
        params.serial_number = Some(SerialNumber::from(number as u64 + 1));
        let certificate = params.signed_by(&leaf_key, &issuer)?;
        let chain = vec![
            Base64(certificate.der().to_vec()),
            Base64(root.as_ref().to_vec()),
        ];
        bodies.push(serde_json::to_vec(&Body { chain })?.into());
    }
    Ok(bodies)
}

/// Year, month and day, near enough for windows of years.
fn today() -> (i32, u8, u8) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let days = since.map_or(0, |since| since.as_secs() / 86_400);
    let years = i32::try_from(days * 400 / 146_097).unwrap_or(0);
    (1970 + years, 1, 1)
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

async fn submit_all(bodies: Vec<Bytes>, urls: &[String], rate: f64) -> Result<Figures, Failure> {
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let mut times = Histogram::<u64>::new(3)?;
    let mut refused = BTreeMap::<String, u64>::new();
    let mut not_sent = 0;
    let mut running = JoinSet::new();
    let began = Instant::now();
    let mut note = |done: Result<Duration, String>, times: &mut Histogram<u64>| match done {
        Ok(took) => {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let _ = times.record(micros); // It grows with what it is given.
        }
        Err(why) => *refused.entry(why).or_default() += 1,
    };
    for (number, body) in bodies.into_iter().enumerate() {
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        sleep_until(due).await;
        while let Some(done) = running.try_join_next() {
            note(done?, &mut times);
        }
        if running.len() >= OUTSTANDING_MAX {
            not_sent += 1;
            continue;
        }
        let url = format!("{}/ct/v1/add-chain", urls[number % urls.len()]);
        running.spawn(submit(client.clone(), url, body, due));
    }
    while let Some(done) = running.join_next().await {
        note(done?, &mut times);
    }
    let seconds = began.elapsed().as_secs_f64();
    let ms = |micros: u64| micros as f64 / 1000.0;
    Ok(Figures {
        wanted_per_second: rate,
        seconds,
        answered: times.len(),
        answered_per_second: times.len() as f64 / seconds,
        not_sent,
        refused,
        median_ms: ms(times.value_at_quantile(0.5)),
        p90_ms: ms(times.value_at_quantile(0.9)),
        p99_ms: ms(times.value_at_quantile(0.99)),
        max_ms: ms(times.max()),
    })
}

/// How long after it was due the timestamp came.
async fn submit(
    client: HttpClient,
    url: String,
    body: Bytes,
    due: Instant,
) -> Result<Duration, String> {
    let request = || {
        let request = Request::post(&url).header(CONTENT_TYPE, "application/json");
        request.body(Full::from(body.clone())).map_err(text)
    };
    let exchange = async {
        let response = match client.request(request()?).await {
            // The log ends connections that have been idle for long, perhaps at this moment: clients try once more.
            Err(_) => client.request(request()?).await.map_err(text)?,
            Ok(response) => response,
        };
        let status = response.status();
        let body = response.into_body().collect().await.map_err(text)?;
        if !status.is_success() {
            return Err(status.to_string());
        }
        let reply: AddChainReply = serde_json::from_slice(&body.to_bytes()).map_err(text)?;
        ct::Sct::try_from(&reply).map_err(text)?;
        Ok(due.elapsed())
    };
    let reply = tokio::time::timeout(PATIENCE, exchange).await;
    reply.unwrap_or_else(|_| Err("no reply in time".to_owned()))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
