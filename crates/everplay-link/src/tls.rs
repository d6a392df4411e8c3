//! TLS 1.3 as the links use it: no resumption, no names, no other version.
//!
//! With a cluster's key the callee shows a bare public key made at start and the caller takes any: what makes
//! the session trustworthy is the proof in the greeting, which is bound to the session. With certificates both ends show
//! one, and both are checked against the authority.

use crate::hello::Binding;
use crate::key::ClusterKey;
use crate::options::{BindError, Certificates, Security};
use crate::stream::Stream;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::{
    AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Names the 32 bytes both ends draw from their session, as RFC 8446, 7.5 asks for.
const EXPORTER: &[u8] = b"EXPORTER-everplay-link";

/// Turns a TCP connection into one that can carry a greeting.
#[derive(Clone)]
pub(crate) enum Securing {
    Plain,
    Tls { connector: TlsConnector, acceptor: TlsAcceptor, key: Option<ClusterKey> },
}

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Caller,
    Callee,
}

impl Securing {
    pub(crate) fn new(security: &Security) -> Result<Self, BindError> {
        let (client, server, key) = match security {
            Security::Plain => return Ok(Self::Plain),
            Security::Key(key) => {
                let (client, server) = keyed().map_err(tls)?;
                (client, server, Some(key.clone()))
            }
            Security::Certificates(certificates) => {
                let (client, server) = certified(certificates)?;
                (client, server, None)
            }
        };
        Ok(Self::Tls {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            key,
        })
    }

    pub(crate) async fn secure(&self, socket: TcpStream, end: End) -> io::Result<(Stream, Binding)> {
        let Self::Tls { connector, acceptor, key } = self else {
            return Ok((Stream::Plain(socket), Binding { key: None }));
        };
        let stream: tokio_rustls::TlsStream<TcpStream> = match end {
            End::Caller => {
                // Never sent and never compared.
                let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
                connector.connect(name, socket).await?.into()
            }
            End::Callee => acceptor.accept(socket).await?.into(),
        };
        let key = match key {
            None => None,
            Some(key) => {
                let exported = match &stream {
                    tokio_rustls::TlsStream::Client(stream) => {
                        stream.get_ref().1.export_keying_material([0; 32], EXPORTER, None)
                    }
                    tokio_rustls::TlsStream::Server(stream) => {
                        stream.get_ref().1.export_keying_material([0; 32], EXPORTER, None)
                    }
                };
                Some((key.clone(), exported.map_err(io::Error::other)?))
            }
        };
        Ok((Stream::Tls(Box::new(stream)), Binding { key }))
    }
}

fn tls(error: rustls::Error) -> BindError {
    BindError::Tls { reason: error.to_string() }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

fn finish(client: &mut ClientConfig, server: &mut ServerConfig) {
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
}

/// Sessions whose ends are proven afterwards.
fn keyed() -> Result<(ClientConfig, ServerConfig), rustls::Error> {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let made = made.map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.as_ref().to_vec()));
    let key = provider::sign::any_ecdsa_type(&key)?;
    let public =
        key.public_key().ok_or_else(|| rustls::Error::General("a key without its public half".to_owned()))?;
    let shown = CertifiedKey::new(vec![CertificateDer::from(public.to_vec())], key);
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(shown))));
    let verifier = AnyKey(provider::default_provider().signature_verification_algorithms);
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    finish(&mut client, &mut server);
    Ok((client, server))
}

/// Sessions between holders of certificates of one authority.
fn certified(files: &Certificates) -> Result<(ClientConfig, ServerConfig), BindError> {
    let refused = |what: &'static str| move |reason: String| BindError::Certificates { what, reason };
    let chain = || -> Result<Vec<CertificateDer<'static>>, BindError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.certificate).collect();
        let chain = chain.map_err(|error| refused("certificate")(error.to_string()))?;
        if chain.is_empty() { Err(refused("certificate")("it holds none".to_owned())) } else { Ok(chain) }
    };
    let key = || {
        PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| refused("private key")(error.to_string()))
    };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&files.authority) {
        let root = root.map_err(|error| refused("authority")(error.to_string()))?;
        roots.add(root).map_err(|error| refused("authority")(error.to_string()))?;
    }
    let roots = Arc::new(roots);
    let callers = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
    let callers = callers.map_err(|error| refused("authority")(error.to_string()))?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?
        .with_client_cert_verifier(callers)
        .with_single_cert(chain()?, key()?)
        .map_err(|error| refused("certificate or private key")(error.to_string()))?;
    let algorithms = provider::default_provider().signature_verification_algorithms;
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Signed { roots, algorithms }))
        .with_client_auth_cert(chain()?, key()?)
        .map_err(|error| refused("certificate or private key")(error.to_string()))?;
    finish(&mut client, &mut server);
    Ok((client, server))
}

/// Never happens: no older version is offered.
fn only_tls13() -> rustls::Error {
    rustls::Error::General("a signature of TLS 1.2".to_owned())
}

/// Takes every public key, and checks that the other end has its private half.
#[derive(Debug)]
struct AnyKey(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Takes every certificate of the authority, whatever name is in it.
#[derive(Debug)]
struct Signed {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Signed {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = ParsedCertificate::try_from(shown)?;
        verify_server_cert_signed_by_trust_anchor(&shown, &self.roots, between, now, self.algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, shown, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
