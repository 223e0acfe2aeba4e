"""Which Host and Origin headers the server accepts.

A web page elsewhere can make a visitor's browser send requests to this server: through a host name
of its own that resolves to this server (DNS rebinding), or across origins. Host or Origin then has
the name of that page's server.
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
_UNKNOWN_HOST = "This page does not answer under that name. Its owner can allow a name with --allow-host NAME."
_CROSS_ORIGIN = "A page of another address cannot use this server."


class Hosts:
    """The allowed host names. Protects against DNS rebinding and cross-origin requests.

    Parameters
    ----------
    listen_host : the address or name that the server listens on, as given; None: loopback only
    allowed : further names, without a port

    Raises
    ------
    UsageError (a name with a port, a scheme or a path)
    """

    def __init__(self, listen_host: str | None = None, allowed: Iterable[str] = ()) -> None:
        names = [listen_host] if listen_host and not _is_wildcard(listen_host) else []
        names += allowed
        names += [os.environ["SPACE_HOST"]] if os.environ.get("SPACE_HOST") else []
        for name in names:
            if _ip_address(name) is None and not _NAME.fullmatch(name):
                raise UsageError("An allowed host is a name alone, such as saic.example.org, without port and path.")
        self._names = {_normalized(name) for name in names}

    def refusal(self, scope: Scope) -> str | None:
        """The message for a request that is refused; None if it is allowed."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _host_and_port(f"//{hosts[0]}", scope.get("scheme", "http")) if len(hosts) == 1 else None
        if host is None or not self._is_allowed(host[0], scope):
            return _UNKNOWN_HOST
        for header in headers.getlist("origin"):
            scheme = header.partition("://")[0]
            # A proxy may change port and scheme between browser and server. For an allowed name the
            # host alone has to match.
            origin = _host_and_port(header, scheme)
            if origin is None or (origin != host and not (origin[0] == host[0] and origin[0] in self._names)):
                return _CROSS_ORIGIN
        return None

    def allows_forwarded(self, name: str) -> bool:
        """Whether a proxy may give this name as the browser's (X-Forwarded-Host)."""
        parsed = _host_and_port(f"//{name.strip()}", "http")
        return parsed is not None and parsed[0] in self._names

    def _is_allowed(self, name: str, scope: Scope) -> bool:
        server_address = scope["server"][0] if scope.get("server") else None
        if name in self._names or name in _LOOPBACK_NAMES:
            return True
        address = _ip_address(name)  # DNS rebinding needs a name: an IP address is not looked up
        return address is not None and (address.is_loopback or address == _ip_address(server_address or ""))


def _normalized(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _host_and_port(address: str, scheme: str) -> tuple[str, int | None] | None:
    """Host and port of ``//host:port``, with or without a scheme.

    The scheme's default port is None. The result is None if anything else is in the address.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return _normalized(parts.hostname), None if port == _DEFAULT_PORTS.get(scheme) else port


def _ip_address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(_normalized(name))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_wildcard(name: str) -> bool:
    """Whether the name is 0.0.0.0 or ``::``, which stand for every address of the machine."""
    address = _ip_address(name)
    return address is not None and address.is_unspecified
