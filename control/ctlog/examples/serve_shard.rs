//! One shard of a log of one node, over HTTP, for clients to be tried on: what consensus would order, it orders itself.
//!
//! `serve_shard FOLDER ROOTS.pem [ADDRESS]` takes certificates below these roots that end before 2050, keeps its files in that
//! folder, writes the shard's public key to `FOLDER/lab.pem`, and prints its URL. It ends with its standard input.

#[path = "../tests/http/lone.rs"]
mod lone;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use ct::{Roots, Shard, unix_midnight};
use ctlog::http::{Limits, serve};
use lone::Lone;
use tokio::net::TcpListener;

const USAGE: &str = "serve_shard FOLDER ROOTS.pem [ADDRESS]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let roots = arguments.next().ok_or(USAGE)?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let roots = Roots::from_pem(&std::fs::read(roots)?)?;
    let listener = TcpListener::bind(address).await?;
    let origin = listener.local_addr()?.to_string();
    let window = Shard {
        name: "lab".to_owned(),
        start: unix_midnight(2020, 1, 1),
        end: unix_midnight(2050, 1, 1),
    };
    let log = Lone::start(&folder, &origin, &[window], roots);
    let faces = Arc::new(log.faces(log.orders.clone(), Limits::default()));
    #[expect(clippy::print_stdout, reason = "who started it reads the URL here")]
    {
        println!("http://{origin}/lab");
    }
    let (stop, mut stopped) = tokio::sync::watch::channel(());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(stop);
    });
    serve(listener, faces, async move {
        while stopped.changed().await.is_ok() {}
    })
    .await?;
    log.stop();
    Ok(())
}
