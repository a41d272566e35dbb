//! Whose certificates are believed: those that an authority of the group has signed, while they are valid. For whom one stands is
//! compared behind the TLS handshake, where the other side can be told in words.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError as TlsCertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use tokio_rustls::rustls;
use webpki::{EndEntityCert, KeyUsage};

use crate::tls::certificates::CertificateError;
use crate::tls::certificates::{describe, wall_clock};

/// What certificates are held against.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) authorities: Arc<RootCertStore>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    Dialing,
    Listening,
}

impl Verifier {
    /// # Errors
    ///
    /// Which certificate it is, and why it is not believed.
    pub(crate) fn check(
        &self,
        chain: &[CertificateDer<'_>],
        used: Use,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let [first, others @ ..] = chain else { return Err(CertificateError::Missing) };
        let unreadable = |_| CertificateError::Unreadable { certificate: describe(first) };
        let leaf = EndEntityCert::try_from(first).map_err(unreadable)?;
        let usage = match used {
            Use::Dialing => KeyUsage::client_auth(),
            Use::Listening => KeyUsage::server_auth(),
        };
        let roots = &self.authorities.roots;
        let Err(error) =
            leaf.verify_for_usage(self.algorithms.all, roots, others, now, usage, None, None).map(drop)
        else {
            return Ok(());
        };
        // The reason may be one of the certificates between, which then is the one to name.
        if let Some(invalid) = chain.iter().find_map(|certificate| out_of_date(certificate, now)) {
            return Err(invalid);
        }
        let certificate = describe(first);
        Err(match error {
            webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::Purpose { certificate },
            // The second: by another one of the same name.
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                CertificateError::NotOfTheGroup { certificate }
            }
            other => CertificateError::Refused { certificate, why: other.to_string() },
        })
    }

    fn verified(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        used: Use,
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<_> = std::iter::once(first).chain(others).cloned().collect();
        self.check(&chain, used, now).map_err(|error| {
            Error::InvalidCertificate(TlsCertificateError::Other(OtherError(Arc::new(error))))
        })
    }
}

/// The time of a certificate is looked at before who has signed it, so no authority is needed to learn whether it is over.
fn out_of_date(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<CertificateError> {
    let error = timeliness(certificate, now)?;
    let certificate = describe(certificate);
    match error {
        webpki::Error::CertExpired { not_after, .. } => {
            Some(CertificateError::Expired { certificate, at: wall_clock(not_after) })
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            Some(CertificateError::NotValidYet { certificate, before: wall_clock(not_before) })
        }
        _ => None,
    }
}

fn timeliness(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<webpki::Error> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    parsed.verify_for_usage(&[], &[], &[], now, KeyUsage::client_auth(), None, None).err()
}

/// Until when a certificate is valid.
pub(crate) fn valid_until(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let never = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::MAX));
    match timeliness(certificate, never) {
        Some(webpki::Error::CertExpired { not_after, .. }) => Some(not_after),
        _ => None,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verified(first, others, Use::Listening, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("nothing older than TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    /// None: a stranger need not learn who the group's authority is.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verified(first, others, Use::Dialing, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
