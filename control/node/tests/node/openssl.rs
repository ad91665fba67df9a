//! An authority run by OpenSSL, and a server for what its certificates name: responses, a revocation list, and its certificate.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "programs' tests each take what they need, and must fail when that cannot be had"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

const CONFIGURATION: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = nobody
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:www.example.com
authorityInfoAccess = OCSP;URI:http://SERVER/ocsp,caIssuers;URI:http://SERVER/issuer.der
crlDistributionPoints = URI:http://SERVER/list.crl
[ca]
default_ca = own
[own]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 1
";

/// Serial number of the certificate that is issued.
const SERIAL: &str = "1001";

/// A root, an authority below it, a certificate for `www.example.com`, and the server.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<Vec<&'static str>>>,
}

impl Authority {
    pub(crate) fn start(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let authority = Self {
            folder: tempfile::tempdir().unwrap(),
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            refused: Arc::default(),
        };
        let server = authority.address.to_string();
        authority.write("ca.cnf", &CONFIGURATION.replace("SERVER", &server));
        authority.write("crlnumber", "01\n");
        authority.set_revoked(false);
        authority.make_root("root");
        authority.make_root("other");
        authority.issue("issuer", "root", "root", "0x2001");
        authority.issue("leaf", "issuer", "leaf", &format!("0x{SERIAL}"));
        authority.openssl("x509 -in issuer.pem -outform DER -out issuer.der");
        authority.make_list();
        let (asked, refused) = (Arc::clone(&authority.asked), Arc::clone(&authority.refused));
        let folder = authority.folder.path().to_owned();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &folder, &asked, &refused.lock().unwrap());
            }
        });
        authority
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What has been asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// From now on these paths are not found.
    pub(crate) fn refuse(&self, paths: &[&'static str]) {
        *self.refused.lock().unwrap() = paths.to_vec();
    }

    /// What responses say from now on.
    pub(crate) fn set_revoked(&self, is_revoked: bool) {
        let (letter, revoked) = match is_revoked {
            true => ("R", "260101000000Z,keyCompromise"),
            false => ("V", ""),
        };
        let line = format!("{letter}\t301231000000Z\t{revoked}\t{SERIAL}\tunknown\t/CN=leaf\n");
        self.write("index.txt", &line);
    }

    /// Makes `list.pem` and `list.crl` by what is revoked.
    pub(crate) fn make_list(&self) {
        self.openssl(
            "ca -config ca.cnf -gencrl -keyfile issuer.key -cert issuer.pem -out list.pem",
        );
        self.openssl("crl -in list.pem -outform DER -out list.crl");
    }

    fn make_root(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
             -out {name}.pem -days 30 -config ca.cnf -extensions root -subj /CN={name}"
        ));
    }

    fn issue(&self, name: &str, issuer: &str, section: &str, serial: &str) {
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
             -out {name}.csr -config ca.cnf -subj /CN={name}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial {serial} \
             -days 30 -extfile ca.cnf -extensions {section} -out {name}.pem"
        ));
    }

    pub(crate) fn openssl(&self, arguments: &str) {
        openssl(self.folder.path(), arguments);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {text}");
}

/// Answers one request; a file of the folder, or what OpenSSL says to an OCSP request.
fn serve(stream: TcpStream, folder: &Path, asked: &Mutex<Vec<String>>, refused: &[&str]) {
    let mut reader = BufReader::new(&stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // Whoever hangs up has heard enough.
        let Ok(1..) = reader.read_line(&mut line) else {
            return;
        };
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_ascii_lowercase()),
        }
    }
    let path = lines[0].split(' ').nth(1).unwrap().trim_start_matches('/');
    asked.lock().unwrap().push(path.to_owned());
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let file = match path {
        "ocsp" => {
            assert!(lines.contains(&"content-type: application/ocsp-request".to_owned()));
            fs::write(folder.join("request.der"), body).unwrap();
            openssl(
                folder,
                "ocsp -index index.txt -CA issuer.pem -rsigner issuer.pem -rkey issuer.key \
                 -reqin request.der -respout response.der -ndays 1",
            );
            "response.der"
        }
        other => other,
    };
    let found = fs::read(folder.join(file)).ok();
    let found = found.filter(|_| !refused.contains(&path));
    let (status, body) = match &found {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &[][..]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = &stream;
    let _ = stream.write_all(&[head.as_bytes(), body].concat()); // It may have hung up.
}
