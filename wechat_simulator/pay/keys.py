"""Keys and certificates: the platform's certificates, and a merchant's own (pay reference 3.2 to 3.4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

YEARS = 5  # life of a platform certificate
NOTICE = 86400.0  # a new one is listed so long before it is used
PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"


def new_key() -> rsa.RSAPrivateKey:
    """2048 bits, e = 65537."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """PKCS#8, as apiclient_key.pem."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """As pub_key.pem."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def read_private(pem: str) -> rsa.RSAPrivateKey:
    """A private key; ``ValueError`` unless it is RSA."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        msg = "the private key is not RSA"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for a bad value
    return key


def serial_of(*parts: str) -> str:
    """40 hex digits, upper case; one in eight begins with a zero, which is kept (3.2). A serial number has 159 bits."""
    digest = hashlib.sha256("|".join(("serial", *parts)).encode()).hexdigest()[:40].upper()
    return f"{int(digest[0], 16) & 7}{digest[1:]}"


def certificate(key: rsa.RSAPrivateKey, name: str, serial: str, start: float, years: int = YEARS) -> str:
    """PEM of a certificate, signed by its own key: nobody here checks the chain."""
    begin = datetime.fromtimestamp(int(start), UTC)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.COUNTRY_NAME, "CN")])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(int(serial, 16) or 1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 * years))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class PlatformCertificate:
    """One certificate of WeChat Pay: listed from the start, used a day later, valid for five years (3.4)."""

    serial: str
    key: rsa.RSAPrivateKey
    pem: str
    effective: float
    expires: float
    used_from: float

    def dump(self) -> list[object]:
        """For the state file."""
        return [self.serial, private_pem(self.key), self.pem, self.effective, self.expires, self.used_from]


class Platform:
    """The certificates of the platform, made when the first merchant needs one."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.certificates: list[PlatformCertificate] = []

    def add(self, now: float, *, used_from: float) -> PlatformCertificate:
        """A further one."""
        serial = serial_of(self._seed, "platform", str(len(self.certificates)))
        key = new_key()
        pem = certificate(key, "Tenpay.com", serial, now)
        made = PlatformCertificate(serial, key, pem, now, now + YEARS * 365 * 86400.0, used_from)
        self.certificates.append(made)
        return made

    def rotate(self, now: float) -> PlatformCertificate:
        """A new one is listed now and used a day later."""
        self.current(now)
        return self.add(now, used_from=now + NOTICE)

    def valid(self, now: float) -> list[PlatformCertificate]:
        """What the endpoint lists, newest first."""
        self.current(now)
        return [item for item in reversed(self.certificates) if item.expires > now]

    def current(self, now: float) -> PlatformCertificate:
        """The one that signs."""
        usable = [item for item in self.certificates if item.used_from <= now < item.expires]
        return usable[-1] if usable else self.add(now, used_from=now)

    def dump(self) -> list[list[object]]:
        """For the state file."""
        return [item.dump() for item in self.certificates]

    def load(self, rows: list[list[object]]) -> None:
        """From the state file."""
        self.certificates = [
            PlatformCertificate(
                str(row[0]),
                read_private(str(row[1])),
                str(row[2]),
                float(str(row[3])),
                float(str(row[4])),
                float(str(row[5])),
            )
            for row in rows
        ]
