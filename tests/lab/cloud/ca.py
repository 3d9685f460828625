"""A test CA and the certificates of its servers: right, expired, of a wrong name, self-signed, TLS
1.0 only.
"""

import datetime
import ipaddress
import ssl
import tempfile
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _general_names(names):
    for name in names:
        try:
            yield x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            yield x509.DNSName(name)


class Certificate:
    """A server's certificate and key, as PEM files and as contexts."""

    def __init__(self, certificate, key, *, only=None):
        self.certificate = Path(certificate)
        self.key = Path(key)
        self.only = only  # an ssl.TLSVersion that alone is spoken

    def speaking(self, version):
        """The same certificate on a server that speaks only this ssl.TLSVersion (TLSv1 is the one
        to refuse).
        """
        return Certificate(self.certificate, self.key, only=version)

    def context(self, record=None):
        """A fresh server-side context; the name the client asks for goes into record.sni."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.only is not None:
            context.set_ciphers(
                "ALL:@SECLEVEL=0"
            )  # OpenSSL 3 has no SHA-1 signatures for TLS 1.0 above level 0
            with warnings.catch_warnings():  # "deprecated": yes, that is what it is for
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = self.only
        context.load_cert_chain(self.certificate, self.key)
        if record is not None:

            def note(_socket, name, _context):
                record.sni = name

            context.sni_callback = note
        return context


class CA:
    """Makes certificates in `directory` (or a temporary one). Clients are to trust .pem."""

    def __init__(self, directory=None, common_name="test CA"):
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="cloud-ca-")
            directory = self._temporary.name
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._count = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(common_name)
        now = datetime.datetime.utcnow()
        builder = (
            self._builder(self._subject, self._subject, self._key, now - DAY, now + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                critical=True,
            )
        )
        self.pem = self._write("ca.pem", builder.sign(self._key, hashes.SHA256()))

    def certificate(self, *names, start=-1, end=10, self_signed=False):
        """A Certificate for host names and addresses; start and end are days from now."""
        now = datetime.datetime.utcnow()
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = _name(names[0]) if self_signed else self._subject
        builder = (
            self._builder(_name(names[0]), issuer, key, now + start * DAY, now + end * DAY)
            .add_extension(x509.SubjectAlternativeName(list(_general_names(names))), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        self._count += 1
        stem = f"server-{self._count}"
        certificate = self._write(
            f"{stem}.pem", builder.sign(key if self_signed else self._key, hashes.SHA256())
        )
        path = self.directory / f"{stem}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        path.chmod(0o600)
        return Certificate(certificate, path)

    def expired(self, *names):
        return self.certificate(*names, start=-20, end=-10)

    def not_yet_valid(self, *names):
        return self.certificate(*names, start=10, end=20)

    def wrong_name(self):
        return self.certificate("somebody-else.example")

    def self_signed(self, *names):
        return self.certificate(*names, self_signed=True)

    @staticmethod
    def _builder(subject, issuer, key, start, end):
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
        )

    def _write(self, name, certificate):
        path = self.directory / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path
