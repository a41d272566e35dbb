//! Encrypted connections of nodes that prove who they are: TLS 1.3, certificates on both sides.

pub(crate) mod certificates;
mod names;
pub(crate) mod stream;
mod verify;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, CertificateError as TlsCertificateError, ClientConfig, Error, OtherError, ServerConfig,
};
use snapshot_core::{NodeId, Topology};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls};

use crate::greeting::Why;
use crate::handshake::Disagreement;
use crate::lock::lock;
use crate::tls::certificates::{CertificateError, Certificates, describe, provider, stands_for, wall_clock};
use crate::tls::stream::{TlsStream, below};
use crate::tls::verify::{Use, Verifier, valid_until};

/// One node's side of all encrypted connections.
pub(crate) struct Tls {
    me: NodeId,
    group: String,
    provider: Arc<CryptoProvider>,
    /// What a certificate's validity is held against.
    time: Arc<dyn TimeProvider>,
    current: Mutex<Arc<Current>>,
}

/// What new connections use.
struct Current {
    certificates: Certificates,
    verifier: Verifier,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// Exchanges the certificates of a transport that runs. From [`TcpTransport::certificates`](crate::TcpTransport::certificates); a
/// clone is another hold of the same.
///
/// ```
/// # use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
/// use snapshot_core::{Graph, NodeId, RawBytes};
/// use snapshot_transport_tcp::{Certificates, TcpTransport};
///
/// # let mut authority = CertificateParams::default();
/// # authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
/// # let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
/// # let new = |node| -> Result<Certificates, Box<dyn std::error::Error>> {
/// #     let (mut params, key) = (CertificateParams::default(), KeyPair::generate()?);
/// #     params.subject_alt_names = vec![SanType::URI(Certificates::uri("orders", NodeId(node)).try_into()?)];
/// #     let certificate = params.signed_by(&key, &authority)?;
/// #     Ok(Certificates::from_pem(certificate.pem(), key.serialize_pem(), authority.pem())?)
/// # };
/// # let (first, second, others) = (new(1)?, new(1)?, new(2)?);
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let topology = Graph::mesh([NodeId(1), NodeId(2)]).named("orders").at(NodeId(1))?;
/// let transport = TcpTransport::builder(topology, RawBytes)
///     .listen("127.0.0.1:0".parse()?)
///     .tls(first)
///     .bind()
///     .await?;
/// let certificates = transport.certificates().expect("it was given some");
/// // The node takes the transport; this stays. Call it where newer files are there, for example once a day.
/// certificates.replace(second)?;
/// assert!(certificates.valid_until() > std::time::SystemTime::now());
/// // Those of another node are not taken, and the ones before stay.
/// assert!(certificates.replace(others).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CertificateHandle(pub(crate) Arc<Tls>);

impl CertificateHandle {
    /// From here on, new connections show these, and believe their authorities. Connections that stand live on with what they were
    /// made with.
    ///
    /// To change the authority of a group, first let all nodes believe the new one beside the old, then give out certificates of
    /// the new one, then drop the old.
    ///
    /// # Errors
    ///
    /// Where the certificate stands for another node or group, is out of date, or was not signed by one of its own authorities.
    /// Nothing has changed then.
    pub fn replace(&self, certificates: Certificates) -> Result<(), CertificateError> {
        let new = self.0.prepare(certificates)?;
        tracing::info!(me = %self.0.me, shown = new.certificates.describe(), "certificates were exchanged");
        *lock(&self.0.current) = Arc::new(new);
        Ok(())
    }

    /// Until when new connections are possible with what is shown now: the earliest end in its chain, by the wall clock.
    pub fn valid_until(&self) -> SystemTime {
        let current = self.0.current();
        let ends = current.certificates.shown.cert.iter().filter_map(valid_until);
        ends.min().map_or(SystemTime::UNIX_EPOCH, wall_clock)
    }
}

impl Tls {
    /// # Errors
    ///
    /// As [`CertificateHandle::replace`].
    pub(crate) fn new(
        topology: &Topology,
        certificates: Certificates,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, CertificateError> {
        let (me, group) = (topology.me(), topology.group().to_owned());
        if group.is_empty() {
            return Err(CertificateError::UnnamedGroup);
        }
        let provider = Arc::new(provider());
        let current = prepare(me, &group, certificates, &provider, &time)?;
        Ok(Self { me, group, provider, time, current: Mutex::new(Arc::new(current)) })
    }

    /// The side that was dialed.
    pub(crate) async fn accept(&self, socket: TcpStream) -> Result<TlsStream, (Why, TcpStream)> {
        let accepted = self.current().acceptor.accept(below(socket)).into_fallible().await;
        match accepted {
            Ok(stream) => Ok(TlsStream(stream.into())),
            Err((error, socket)) => Err((self.explain(error), socket.into_inner())),
        }
    }

    /// The side that dialed.
    pub(crate) async fn connect(&self, socket: TcpStream) -> Result<TlsStream, (Why, TcpStream)> {
        let connector = self.current().connector.clone();
        // Whom a certificate stands for is compared in `vouch`; hosts have no names here.
        let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        match connector.connect(nobody, below(socket)).into_fallible().await {
            Ok(stream) => Ok(TlsStream(stream.into())),
            Err((error, socket)) => Err((self.explain(error), socket.into_inner())),
        }
    }

    /// Whether the other side has shown that it is this node of this group.
    pub(crate) fn vouch(&self, shown: &[CertificateDer<'_>], node: NodeId) -> Result<(), Disagreement> {
        let wanted = names::uri(&self.group, node);
        let error = match shown.first() {
            Some(certificate) if stands_for(certificate, &wanted) => return Ok(()),
            Some(certificate) => CertificateError::OtherNode { certificate: describe(certificate), wanted },
            None => CertificateError::Missing,
        };
        Err(Disagreement::Certificate(error.to_string()))
    }

    /// What has gone wrong on an encrypted connection.
    pub(crate) fn explain(&self, error: io::Error) -> Why {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return Why::Broken(error);
        };
        match tls {
            Error::InvalidCertificate(TlsCertificateError::Other(OtherError(other))) => {
                Disagreement::Certificate(other.to_string()).into()
            }
            Error::InvalidCertificate(other) => {
                Disagreement::Certificate(format!("its certificate is not valid ({other})")).into()
            }
            Error::NoCertificatesPresented => {
                Disagreement::Certificate(CertificateError::Missing.to_string()).into()
            }
            Error::InvalidMessage(_) => Disagreement::Unencrypted { me: self.me }.into(),
            Error::PeerIncompatible(_) => Disagreement::OldTls { me: self.me }.into(),
            Error::AlertReceived(alert) => self.explain_alert(*alert),
            _ => Why::Broken(error),
        }
    }

    /// The other side has said no in one word; the words for it are found here.
    fn explain_alert(&self, alert: AlertDescription) -> Why {
        use AlertDescription as Alert;
        let current = self.current();
        let ours = current.certificates.describe();
        Why::RefusedByPeer(match alert {
            Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRevoked
            | Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::UnknownCA
            | Alert::AccessDenied => match self.look_at_own(&current) {
                Err(error) => format!("the other side does not take what {} shows: {error}", self.me),
                Ok(()) => format!(
                    "the other side does not take what {} shows, {ours} (it says {alert:?}): its log says why; do both believe the same \
                     authorities, and are the clocks of both right?",
                    self.me
                ),
            },
            Alert::ProtocolVersion => Disagreement::OldTls { me: self.me }.to_string(),
            other => {
                format!("the other side has given up the TLS handshake (it says {other:?}): its log says why")
            }
        })
    }

    fn look_at_own(&self, current: &Current) -> Result<(), CertificateError> {
        check_own(self.me, &self.group, &current.certificates, &current.verifier, &*self.time)
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&lock(&self.current))
    }

    fn prepare(&self, certificates: Certificates) -> Result<Current, CertificateError> {
        prepare(self.me, &self.group, certificates, &self.provider, &self.time)
    }
}

fn prepare(
    me: NodeId,
    group: &str,
    certificates: Certificates,
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
) -> Result<Current, CertificateError> {
    let verifier = Verifier {
        authorities: Arc::clone(&certificates.authorities),
        algorithms: provider.signature_verification_algorithms,
    };
    check_own(me, group, &certificates, &verifier, &**time)?;
    let refused = |error: Error| CertificateError::Refused {
        certificate: certificates.describe(),
        why: error.to_string(),
    };
    let shown = || Arc::new(SingleCertAndKey::from(Arc::clone(&certificates.shown)));
    let versions = &[&rustls::version::TLS13];

    let server = ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(versions)
        .map_err(refused)?;
    let mut server = server.with_client_cert_verifier(Arc::new(verifier.clone())).with_cert_resolver(shown());
    // A session that is resumed shows no certificate again: one that has expired, or is of an authority that is believed no longer,
    // would live on.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;

    let client = ClientConfig::builder_with_details(Arc::clone(provider), Arc::clone(time))
        .with_protocol_versions(versions)
        .map_err(refused)?;
    let client = client.dangerous().with_custom_certificate_verifier(Arc::new(verifier.clone()));
    let mut client = client.with_client_cert_resolver(shown());
    client.resumption = Resumption::disabled();
    client.enable_sni = false;

    let (acceptor, connector) = (Arc::new(server).into(), Arc::new(client).into());
    Ok(Current { certificates, verifier, acceptor, connector })
}

/// What others would refuse is found before they see it.
fn check_own(
    me: NodeId,
    group: &str,
    certificates: &Certificates,
    verifier: &Verifier,
    time: &dyn TimeProvider,
) -> Result<(), CertificateError> {
    let chain = &certificates.shown.cert;
    let wanted = names::uri(group, me);
    if !chain.first().is_some_and(|certificate| stands_for(certificate, &wanted)) {
        return Err(CertificateError::OtherNode { certificate: certificates.describe(), wanted });
    }
    // Without a clock nobody else's certificate would be believed either.
    let now = time.current_time().ok_or_else(|| CertificateError::Refused {
        certificate: certificates.describe(),
        why: "the machine's clock is before 1970".to_owned(),
    })?;
    verifier.check(chain, Use::Dialing, now)?;
    verifier.check(chain, Use::Listening, now)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.current().certificates).finish()
    }
}

impl fmt::Debug for CertificateHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CertificateHandle").field(&self.0.current().certificates).finish()
    }
}

#[cfg(test)]
mod tests;
