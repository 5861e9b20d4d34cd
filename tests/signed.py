"""Real content credentials: certificates made on the spot, manifests signed by the validator's own library."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


MIME = {".mp4": "video/mp4", ".mov": "video/quicktime", ".avi": "video/avi", ".gif": "image/gif"}


def sign(source: Path, target: Path, *, tool: str = "A tool", agent: str = "An agent", kind: str = GENERATED) -> Path:
    """``source`` with a manifest in which ``tool`` claims that ``agent`` made content of that kind."""
    action = {"action": "c2pa.created", "softwareAgent": {"name": agent}, "digitalSourceType": kind}
    manifest: Mapping[str, Any] = {
        "claim_generator_info": [{"name": tool, "version": "1.0"}],
        "title": target.name,
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    chain, key = _credentials()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    with source.open("rb") as read, target.open("w+b") as written:
        c2pa.Builder(json.dumps(manifest)).sign(signer, MIME[source.suffix], read, written)
    return target


def box_at(data: bytes) -> tuple[int, int]:
    """(start, length) of the manifest's box."""
    start = data.index(BOX) - 8
    return start, int.from_bytes(data[start : start + 4], "big")


@functools.cache
def _credentials() -> tuple[bytes, bytes]:
    """(certificate chain, private key), PEM: an end entity under a root that nobody trusts."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = (
        _certificate("Test root", "Test root", root_key)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(_usage(signs_certificates=True), True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate("Test signer", "Test root", key)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(_usage(signs_certificates=False), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return leaf.public_bytes(pem) + root.public_bytes(pem), private


def _certificate(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _name(common: str) -> x509.Name:
    pairs = ((NameOID.COMMON_NAME, common), (NameOID.ORGANIZATION_NAME, "Tests"), (NameOID.COUNTRY_NAME, "DE"))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
