"""Addresses of servers: what may stand in one, by which proxy it is reached, and what a failed handshake means."""

from __future__ import annotations

import base64
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from evenhand.errors import ModelError, SpecError
from evenhand.visible import printable

# The environment's variables in a text: $NAME or ${NAME}.
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
# Names of what opens a door, as gateways and clouds call them in the query of an address.
_KEY_NAMES = re.compile(
    r"(?:.*[_.-])?(?:key|apikey|token|secret|password|passwd|pwd|auth|authorization|sig|signature|credentials?|code|jwt)"
    r"|.*(?:apikey|accesskey|accesstoken|authtoken|secretkey|subscriptionkey)",
    re.IGNORECASE,
)
_UNKNOWN_ISSUER = {18, 19, 20, 21}
_OUT_OF_DATE = {9, 10}
_OTHER_NAME = {62, 64}


def is_http(address: str) -> bool:
    """Whether it looks like the address of a server."""
    return address.startswith(("http://", "https://"))


def checked_address(address: str, option: str, example: str, *, variables: bool = False) -> str:
    """An address that may be stored and shown: without a password or a key.

    Args:
        address: what was given.
        option: where, for the message.
        example: an address of the right form.
        variables: whether a key in it may be the name of an environment variable (``?key=$NAME``), which is stored.

    Raises:
        SpecError: it is no address of a server, or holds what must not be stored.
    """
    if not is_http(address):
        raise SpecError(f"{option} '{address}' is not an http(s) address.", f"Write {example}.")
    try:
        url = URL(address)
        host = url.host
    except ValueError:
        host = None
    if not host:
        raise SpecError(f"{option} '{_plain(address)}' is not an http(s) address.", f"Write {example}.")
    header = "Give it by --extra-header, as in 'Authorization=Basic $NAME' with the variable NAME"
    if url.user is not None or url.password is not None:
        raise SpecError(f"{option} holds a user or a password, which would be stored.", f"{header}.")
    for name, value in url.query.items():
        if _KEY_NAMES.fullmatch(name) and value and not (variables and VARIABLE.fullmatch(value)):
            by_name = f", or write {name}=$NAME in the address" if variables else ""
            raise SpecError(f"{option} holds a key ('{name}'), which would be stored.", f"{header}{by_name}.")
    return address


@lru_cache(maxsize=64)
def below(root: URL, path: str) -> URL:
    """The address of something below the root of an API, whose query stays."""
    return root.with_path(f"{root.path.rstrip('/')}/{path}").with_query(root.query)


def _plain(address: str) -> str:
    """An address without what may be secret in it."""
    return re.sub(r"//[^/?#]*@", "//", address).partition("?")[0]


def from_environment(value: str, needed_by: str) -> str:
    """``value`` with the environment's variables for ``$NAME`` and ``${NAME}``.

    Raises:
        ModelError: one is not set.
    """

    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        found = os.environ.get(name)
        if found is None:
            raise ModelError(f"The environment variable {name} is not set.", f"It is needed by {needed_by}: export it.")
        return found.strip()

    return VARIABLE.sub(variable, value)


def variables_of(value: str) -> list[str]:
    """What the environment's variables that a text names hold; those that are not set are left out."""
    names = (match[1] or match[2] for match in VARIABLE.finditer(value))
    return [found for name in names if (found := os.environ.get(name, "").strip())]


@dataclass(frozen=True)
class Way:
    """How a server is reached.

    Attributes:
        proxy: the proxy's address without a password; None for none.
        login: the header that it asks for, or "".
    """

    proxy: URL | None = None
    login: str = ""

    def arguments(self, url: URL, headers: Mapping[str, str]) -> dict[str, Any]:
        """What aiohttp is to be given to send a request with these headers by this way."""
        given: dict[str, Any] = {"proxy": self.proxy, "headers": dict(headers)}
        if self.login:
            # To the proxy itself, where it opens a tunnel; with the request, where it reads that.
            field = "proxy_headers" if url.scheme == "https" else "headers"
            given[field] = {**given.get(field, {}), "Proxy-Authorization": self.login}
        return given


@dataclass
class Proxies:
    """The environment's proxies ($HTTP_PROXY, $HTTPS_PROXY, $NO_PROXY), and nothing else of it: no ``.netrc``."""

    _ways: dict[URL, Way] = field(default_factory=dict)

    def way(self, url: URL) -> Way:
        """How to reach a server.

        Raises:
            ModelError: by a proxy of a kind that is not known here.
        """
        origin = url.origin()
        if origin not in self._ways:
            self._ways[origin] = self._look_up(origin)
        return self._ways[origin]

    def _look_up(self, origin: URL) -> Way:
        named = getproxies().get(origin.scheme)
        if not named or proxy_bypass(f"{origin.host}:{origin.port}") or proxy_bypass(str(origin.host)):
            return Way()
        try:
            proxy = URL(named if "://" in named else f"http://{named}")
        except ValueError:
            proxy = URL()
        if proxy.scheme not in ("http", "https") or not proxy.host:
            variable = f"${origin.scheme.upper()}_PROXY"
            raise ModelError(f"{variable} is no address of an HTTP proxy.", f"Write {variable}=http://HOST:PORT.")
        if proxy.user is None and proxy.password is None:
            return Way(proxy)
        login = base64.b64encode(f"{proxy.user or ''}:{proxy.password or ''}".encode()).decode()
        return Way(proxy.with_user(None), f"Basic {login}")


def trusted() -> ssl.SSLContext | bool:
    """Whose certificates are believed: the system's, or $SSL_CERT_FILE's as it is now (aiohttp's is of its import)."""
    named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context() if named else True


def handshake_problem(origin: URL, error: Exception) -> tuple[str, str]:
    """What a failed TLS handshake means, and what to do about it."""
    found = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__
    code = found.verify_code if isinstance(found, ssl.SSLCertVerificationError) else None
    if code in _UNKNOWN_ISSUER:
        return (
            f"The certificate of {origin} is signed by nobody that this machine knows.",
            "Set SSL_CERT_FILE to the file (PEM) with the certificate of who signed it.",
        )
    if code in _OUT_OF_DATE:
        return (
            f"The certificate of {origin} is out of date, or not valid yet.",
            "Renew it on the server; look at this machine's clock, too.",
        )
    if code in _OTHER_NAME:
        return (
            f"The certificate of {origin} is for another name.",
            "Write the name that stands in it, or check that this is the right server.",
        )
    said = printable(str(error))[:300]
    if "WRONG_VERSION_NUMBER" in said or "HTTP_REQUEST" in said or "RECORD_LAYER" in said:
        return f"{origin} does not speak TLS.", "Write http:// where the server has none."
    return (
        f"No TLS connection to {origin}: {said}.",
        "Set SSL_CERT_FILE where its certificate is your own; ask who runs the server which TLS it speaks.",
    )


def redirection(origin: URL, location: str) -> ModelError:
    """The error where a server sends calls elsewhere: keys and questions do not follow."""
    try:
        target = origin.join(URL(location)).with_query(None).with_user(None).with_fragment(None)
    except ValueError:
        target = URL()
    where = printable(str(target))[:200] or "elsewhere"
    return ModelError(
        f"{origin} redirects to {where}; keys and questions do not follow.",
        "Give that address, if it is the one that is meant.",
    )
