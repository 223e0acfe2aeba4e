"""Who sent a request (a browser or a program), and what share of resources an address may use."""

import re
import secrets
import time
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection
from starlette.types import Scope

COOKIE = "saic_visitor"
"""Name of the cookie that tells one browser from another: a random number, a session cookie."""

_TOKEN = re.compile(r"[\w-]{22}")
_SESSION_NAME = re.compile(r"[\w-]{1,64}")


@dataclass(frozen=True)
class Visitor:
    """The sender of a request: one browser, or one program.

    The token decides which recordings a visitor may use. The address only decides its fair share of
    resources (`within_fair_share`). It gives access to nothing and is never logged.

    Attributes
    ----------
    token : value of the browser's cookie, 128 random bits; None for a program without cookies
    address : network address of the sender, see `network_of`
    """

    token: str | None = None
    address: str = "unknown"

    @classmethod
    def of(cls, scope: Scope) -> "Visitor":
        """The sender of an ASGI request.

        uvicorn has put the forwarded address into the scope if it trusts the proxy.
        """
        token = HTTPConnection(scope).cookies.get(COOKIE, "")  # not by http.cookies: it stops at an odd cookie
        address = network_of(scope["client"][0] if scope.get("client") else "unknown")
        return cls(token if _TOKEN.fullmatch(token) else None, address)

    def may_be_same(self, other: "Visitor") -> bool:
        """Whether two visitors may be the same. Programs without cookies differ by address only."""
        return self.token == other.token and (self.token is not None or self.address == other.address)


UNKNOWN_VISITOR = Visitor()
"""The visitor of calls that did not come over the network."""


def new_token() -> str:
    """A random cookie value of 128 bits."""
    return secrets.token_urlsafe(16)


def is_session_name(name: object) -> bool:
    """Whether a value is a valid session name: 1 to 64 letters, digits, ``_`` or ``-``."""
    return isinstance(name, str) and _SESSION_NAME.fullmatch(name) is not None


def network_of(host: str) -> str:
    """The address that counts for fair shares: IPv4 itself, or the /64 of an IPv6 subscriber."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


class RateLimiter:
    """A token bucket for each address. It protects the server from one address that sends too much.

    Parameters
    ----------
    burst : size of a bucket: what an address may use at once
    per_s : rate at which a bucket refills: what an address may use a second in the long run
    """

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._levels: dict[str, tuple[float, float]] = {}  # address -> level, time of that level

    def allows(self, address: str) -> bool:
        """Take 1 from the address's bucket and return True; return False if less is left."""
        if self._level(address) < 1:
            return False
        self.charge(address, 1)
        return True

    def charge(self, address: str, amount: float) -> float:
        """Take an amount even if less is left; returns the seconds until the level is 0 again."""
        level, now = self._level(address) - amount, time.monotonic()
        self._levels[address] = level, now
        if len(self._levels) > 1000:  # a full bucket is the same as none
            self._levels = {other: held for other, held in self._levels.items() if self._level(other) < self._burst}
        return max(0.0, -level / self._per_s)

    def _level(self, address: str) -> float:
        level, since = self._levels.get(address, (self._burst, 0.0))
        return min(self._burst, level + self._per_s * (time.monotonic() - since))


def within_fair_share(held: float, others: float, capacity: float, share: float) -> bool:
    """Whether one address may hold `held` of a shared resource.

    An address may hold up to `share` of what the others leave. So there is always room for a new
    address, however much one address requests, and a single address may use a good part of an idle
    server (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2),
    1998).

    Parameters
    ----------
    held : what the address would hold
    others : what all other addresses hold
    capacity : what there is in all
    share : fraction in (0, 1]
    """
    return held <= share * (capacity - others)
