"""What every server of this package begins with: where it listens, and who may ask."""

from __future__ import annotations

import hmac
import secrets
import socket
from ipaddress import ip_address

from evenhand.errors import DataError, SpecError

LOOPBACK = "127.0.0.1"


def new_token() -> str:
    """What no other page or user can guess."""
    return secrets.token_urlsafe(24)


def same_secret(given: str, wanted: str) -> bool:
    """Whether two secrets are the same; how long it takes tells nothing."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def is_loopback(host: str) -> bool:
    """Whether a host's name or address leads to this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen(port: int = 0, host: str = LOOPBACK) -> socket.socket:
    """A socket that listens.

    Args:
        port: where; 0 takes a free one.
        host: on which of this machine's addresses.

    Raises:
        DataError: the port is taken.
        SpecError: this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except socket.gaierror:
        raise SpecError(f"This machine has no address '{host}'.", f"Write --host {LOOPBACK}.") from None
    except OSError as error:
        raise DataError(f"Port {port} cannot be used: {error.strerror}.", "Choose another --port.") from None
