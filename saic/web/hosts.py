"""Under which names the page answers, and to pages of which origin.

A page elsewhere may make a browser ask this server: by a name of its own that it points here (DNS rebinding), or by a
request across origins. Both carry a name that is none of this server's.
"""

import os
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from saic.errors import UsageError

_LOOPBACK_NAMES = ("localhost", "localhost.localdomain")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HERE = "This page does not answer under that name. Its owner can allow a name with --allow-host NAME."
_FOREIGN = "A page of another address cannot use this server."


class Hosts:
    """Which Host and Origin a request may have.

    Parameters
    ----------
    served : the address or name that the server listens on, as it was given; None: this computer only
    allowed : further names, without a port

    Raises
    ------
    UsageError (a name with a port, a scheme or a path)
    """

    def __init__(self, served: str | None = None, allowed: Iterable[str] = ()) -> None:
        names = [served] if served and not _is_any(served) else []
        names += allowed
        names += [os.environ["SPACE_HOST"]] if os.environ.get("SPACE_HOST") else []
        for name in names:
            if _address(name) is None and not _NAME.fullmatch(name):
                raise UsageError("An allowed host is a name alone, such as saic.example.org, without port and path.")
        self._names = {_bare(name) for name in names}

    def refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None if it is not."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _parsed(f"//{hosts[0]}", scope.get("scheme", "http")) if len(hosts) == 1 else None
        if host is None or not self._is_ours(host[0], scope):
            return _HERE
        for origin in headers.getlist("origin"):
            scheme = origin.partition("://")[0]
            # Behind a proxy the port and the scheme may be others than the browser's: a name that was allowed counts.
            sent = _parsed(origin, scheme)
            if sent is None or (sent != host and not (sent[0] == host[0] and sent[0] in self._names)):
                return _FOREIGN
        return None

    def forwarded(self, name: str) -> bool:
        """Whether a proxy may say that the browser asked for this name (X-Forwarded-Host)."""
        parsed = _parsed(f"//{name.strip()}", "http")
        return parsed is not None and parsed[0] in self._names

    def _is_ours(self, name: str, scope: Scope) -> bool:
        reached = scope["server"][0] if scope.get("server") else None
        if name in self._names or name in _LOOPBACK_NAMES:
            return True
        address = _address(name)  # no name service comes in between
        return address is not None and (address.is_loopback or address == _address(reached or ""))


def _bare(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _parsed(address: str, scheme: str) -> tuple[str, int | None] | None:
    """Name and port of ``//name:port``, with or without a scheme, whose own port is None; None if it is no such."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return _bare(parts.hostname), None if port == _DEFAULT_PORTS.get(scheme) else port


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(_bare(name))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_any(name: str) -> bool:
    """Whether a server that listens there answers at every address of its machine."""
    address = _address(name)
    return address is not None and address.is_unspecified
