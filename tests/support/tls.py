"""HTTPS servers on loopback whose certificates are wrong in one way each."""

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def certificate(folder: Path, *, host: str = "127.0.0.1", expired: bool = False) -> Path:
    """A file with a key and a self-signed certificate for `host`, an IP address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "planted authority")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 9 * DAY)
        .not_valid_after(now - DAY if expired else now + DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{host}-{expired}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


class Asked(BaseHTTPRequestHandler):
    """Answers 404 to everything, and counts."""

    asked: list[str]

    def answer(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    do_GET = do_PUT = do_POST = do_HEAD = do_CONNECT = answer

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def server(pem: Path | None = None) -> Iterator[tuple[str, list[str]]]:
    """The URL of a server, over TLS with a certificate, and the paths it has been asked for."""
    asked: list[str] = []
    handler = type("Handler", (Asked,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        serving.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            serving.socket = context.wrap_socket(
                serving.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"{'http' if pem is None else 'https'}://127.0.0.1:{serving.server_port}", asked
        finally:
            serving.shutdown()
            thread.join()
