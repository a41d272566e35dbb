//! A group's authority, what it signs, and what others make up.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use snapshot_core::NodeId;
use snapshot_transport_tcp::Certificates;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a node, and changed in some way.
    pub(crate) fn sign(&self, group: &str, node: u64, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let (mut params, key) = (named(group, node), KeyPair::generate().unwrap());
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Shown { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// As its node uses it.
    pub(crate) fn certificates(&self, group: &str, node: u64) -> Certificates {
        self.take(&self.sign(group, node, |_| {}))
    }

    pub(crate) fn take(&self, shown: &Shown) -> Certificates {
        Certificates::from_pem(&shown.chain, &shown.key, self.pem()).unwrap()
    }
}

/// What a certificate of this node needs.
fn named(group: &str, node: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(Certificates::uri(group, NodeId(node)).try_into().unwrap())];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// Signed by nobody but itself.
pub(crate) fn self_signed(group: &str, node: u64) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = named(group, node).self_signed(&key).unwrap();
    Shown { chain: certificate.pem(), key: key.serialize_pem() }
}

/// What a stranger may do: it takes whatever the other side shows, and shows what it likes.
#[derive(Debug)]
struct Anything;

pub(crate) fn client(shown: Option<&Shown>) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anything));
    Arc::new(match shown {
        Some(shown) => {
            let (chain, key) = parts(shown);
            config.with_client_auth_cert(chain, key).unwrap()
        }
        None => config.with_no_client_auth(),
    })
}

/// Dials, and is done as far as it can see. The listener may think otherwise.
pub(crate) async fn dial(
    at: std::net::SocketAddr,
    shown: Option<&Shown>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let socket = TcpStream::connect(at).await?;
    let name = ServerName::try_from("anybody").unwrap();
    TlsConnector::from(client(shown)).connect(name, socket).await
}

/// For one that is dialed.
pub(crate) fn acceptor(shown: &Shown) -> TlsAcceptor {
    let (chain, key) = parts(shown);
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let config = config.with_client_cert_verifier(Arc::new(Anything));
    Arc::new(config.with_single_cert(chain, key).unwrap()).into()
}

fn parts(shown: &Shown) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(shown.chain.as_bytes()).map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap())
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Anything {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
