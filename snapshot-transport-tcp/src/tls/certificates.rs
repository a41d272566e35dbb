//! What a node shows to prove who it is, and whom it believes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use snapshot_core::NodeId;
use thiserror::Error;
use tokio_rustls::rustls;
use webpki::EndEntityCert;

use crate::tls::names;

/// The most bytes of a certificate's serial number that are shown: as many as the standard allows.
const SERIAL: usize = 20;
/// The longest name that is shown.
const SHOWN_NAME: usize = 256;

/// What one node shows, and whom it believes: its certificate with those that lead to the authority, its private key, and the
/// authorities that sign for the group.
///
/// The certificate holds the node's [`uri`](Self::uri) among its alternative names. It is used on connections that the node dials and on
/// those that it takes: an extended key usage, if it has one, names both `clientAuth` and `serverAuth`. Whoever the authorities have
/// signed such a name for, is that node: give them no certificate of a public authority.
///
/// The guide makes a group's certificates in a few lines (`certificates`). The key is shown nowhere, `Debug` included.
///
/// ```
/// use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
/// use snapshot_core::NodeId;
/// use snapshot_transport_tcp::Certificates;
///
/// let mut authority = CertificateParams::default();
/// authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
/// let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
///
/// let (mut node, key) = (CertificateParams::default(), KeyPair::generate()?);
/// node.subject_alt_names = vec![SanType::URI(Certificates::uri("orders", NodeId(7)).try_into()?)];
/// let node = node.signed_by(&key, &authority)?;
///
/// let certificates = Certificates::from_pem(node.pem(), key.serialize_pem(), authority.pem())?;
/// assert!(format!("{certificates:?}").contains("snapshot://orders/node/7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Certificates {
    pub(crate) shown: Arc<CertifiedKey>,
    pub(crate) authorities: Arc<RootCertStore>,
}

/// What is wrong with a certificate: with one's own, before it is used, or with that of somebody else, in the log and in
/// [`LastSeen`](crate::LastSeen). Each says what to do.
///
/// ```
/// use snapshot_transport_tcp::{CertificateError, Certificates};
///
/// let error = Certificates::from_pem("", "", "").unwrap_err();
/// assert!(matches!(error, CertificateError::Pem { .. }));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: correct the path, or who may read it", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A text does not hold what it should.
    #[error("the {what} cannot be read from its PEM text ({why}): give it as `-----BEGIN …` sections")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What was found.
        why: String,
    },
    /// The private key cannot be used, or is that of another certificate.
    #[error(
        "the private key does not go with {certificate} ({why}): give the key that it was made with, ECDSA P-256 or P-384, Ed25519 or RSA"
    )]
    Key {
        /// Which certificate.
        certificate: String,
        /// What is wrong, without anything of the key.
        why: String,
    },
    /// The group has no name, so no certificate can say that it is for this one.
    #[error("a group whose nodes show certificates needs a name: give it one with `Graph::named`")]
    UnnamedGroup,
    /// The certificate stands for somebody else.
    #[error(
        "{certificate} does not stand for {wanted}: give each node a certificate with its own URI, and check the address"
    )]
    OtherNode {
        /// Which certificate.
        certificate: String,
        /// The name that it should hold.
        wanted: String,
    },
    /// Its time is over.
    #[error(
        "{certificate} has expired: it was valid until {}. Give the node a newer one; `CertificateHandle::replace` does so while it runs",
        time(*at)
    )]
    Expired {
        /// Which certificate.
        certificate: String,
        /// Until when it was valid.
        at: SystemTime,
    },
    /// Its time has not come.
    #[error("{certificate} is not valid before {}: check the clocks of both machines", time(*before))]
    NotValidYet {
        /// Which certificate.
        certificate: String,
        /// From when it is valid.
        before: SystemTime,
    },
    /// No authority that is believed has signed it.
    #[error(
        "{certificate} was not signed by an authority of this group: let the group's authority sign it, and give all nodes the same authorities"
    )]
    NotOfTheGroup {
        /// Which certificate.
        certificate: String,
    },
    /// It was signed for another use.
    #[error(
        "{certificate} is not for connections in both directions: its extended key usage must name clientAuth and serverAuth, or be left out"
    )]
    Purpose {
        /// Which certificate.
        certificate: String,
    },
    /// There is none.
    #[error("no certificate was shown: give the node one with `.tls(..)`")]
    Missing,
    /// It is no certificate.
    #[error("{certificate} is malformed: make it again")]
    Unreadable {
        /// Which certificate.
        certificate: String,
    },
    /// Something else is wrong with it.
    #[error("{certificate} is not valid ({why}): make it again")]
    Refused {
        /// Which certificate.
        certificate: String,
        /// What is wrong.
        why: String,
    },
}

impl Certificates {
    /// From PEM texts: the node's certificate followed by those between it and the authority, its private key (PKCS #8, SEC 1 or
    /// PKCS #1), and the certificates of the authorities that are believed: more than one while a group passes from an old one to a new.
    ///
    /// # Errors
    ///
    /// Where a text does not hold what it should, or the key is not that of the certificate.
    pub fn from_pem(
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        authorities: impl AsRef<[u8]>,
    ) -> Result<Self, CertificateError> {
        let chain = certificates(chain.as_ref(), "node's certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref()).map_err(|_| {
            // Not in the words of who reads it: nothing of what stands there may be repeated.
            CertificateError::Pem {
                what: "private key",
                why: "there is no whole section of a key".to_owned(),
            }
        })?;
        let certificate = chain.first().map_or_else(String::new, describe);
        let shown = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| CertificateError::Key { certificate, why: error.to_string() })?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(authorities.as_ref(), "authorities' certificate")? {
            let certificate = describe(&authority);
            roots.add(authority).map_err(|_| CertificateError::Unreadable { certificate })?;
        }
        Ok(Self { shown: Arc::new(shown), authorities: Arc::new(roots) })
    }

    /// The same from files. Reads them at once; somebody who changes them calls this again.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem), and where a file cannot be read.
    ///
    /// ```
    /// use snapshot_transport_tcp::{CertificateError, Certificates};
    ///
    /// let error = Certificates::from_files("no such file", "node.key", "authority.pem").unwrap_err();
    /// assert!(matches!(error, CertificateError::File { .. }));
    /// ```
    pub fn from_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        authorities: impl AsRef<Path>,
    ) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| CertificateError::File { path: path.to_owned(), source })
        };
        Self::from_pem(read(chain.as_ref())?, read(key.as_ref())?, read(authorities.as_ref())?)
    }

    /// The URI that the certificate of a node holds among its alternative names: `snapshot://GROUP/node/ID`, with the group's
    /// name percent-encoded but for ASCII letters, digits, and `-._~`.
    ///
    /// ```
    /// use snapshot_core::NodeId;
    /// use snapshot_transport_tcp::Certificates;
    ///
    /// assert_eq!(Certificates::uri("orders", NodeId(7)), "snapshot://orders/node/7");
    /// assert_eq!(Certificates::uri("big orders", NodeId(7)), "snapshot://big%20orders/node/7");
    /// ```
    pub fn uri(group: &str, node: NodeId) -> String {
        names::uri(group, node)
    }

    pub(crate) fn describe(&self) -> String {
        self.shown.cert.first().map_or_else(String::new, describe)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("shown", &self.describe())
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

/// All that TLS needs of ciphers.
pub(crate) fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// A certificate for people: for whom it says that it stands, and its serial number as `openssl x509 -serial` shows it. Nobody may
/// have looked at it yet, so it is fit to be logged whatever stands in it.
pub(crate) fn describe(certificate: &CertificateDer<'_>) -> String {
    let Ok(parsed) = EndEntityCert::try_from(certificate) else {
        return "a certificate that cannot be read".to_owned();
    };
    let serial: String = parsed.serial().iter().take(SERIAL).map(|byte| format!("{byte:02X}")).collect();
    let name = parsed.valid_uri_names().find(|name| {
        let fit = |byte: u8| byte.is_ascii_graphic();
        name.starts_with("snapshot://") && name.len() <= SHOWN_NAME && name.bytes().all(fit)
    });
    match name {
        Some(name) => format!("the certificate of {name} (serial {serial})"),
        None => format!("a certificate without a node's name (serial {serial})"),
    }
}

/// Whether a certificate stands for this name.
pub(crate) fn stands_for(certificate: &CertificateDer<'_>, uri: &str) -> bool {
    EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.valid_uri_names().any(|name| name == uri))
}

pub(crate) fn wall_clock(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs())).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// In UTC, to the second.
fn time(at: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(at)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(some) if !some.is_empty() => Ok(some),
        Ok(_) => Err(CertificateError::Pem { what, why: "there is no section of a certificate".to_owned() }),
        Err(error) => Err(CertificateError::Pem { what, why: error.to_string() }),
    }
}
