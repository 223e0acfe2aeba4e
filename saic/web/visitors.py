"""Who a request comes from, and what one visitor may take of what all share."""

import re
import secrets
import time
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection
from starlette.types import Scope

COOKIE = "saic_visitor"
"""Name of the cookie that tells one browser from another. It holds a random number and ends with the browser."""

_TOKEN = re.compile(r"[\w-]{22}")
_SESSION = re.compile(r"[\w-]{1,64}")


@dataclass(frozen=True)
class Visitor:
    """Who sends a request.

    Attributes
    ----------
    token : the value of a browser's cookie, 128 random bits; None for a program that keeps no cookies
    address : of the sender's network. It counts for fair shares alone: it gives access to nothing and is never logged.
    """

    token: str | None = None
    address: str = "unknown"

    @classmethod
    def of(cls, scope: Scope) -> "Visitor":
        """The sender of a request; uvicorn has put the forwarded address into the scope if it trusts the proxy."""
        try:
            cookie = SimpleCookie(HTTPConnection(scope).headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        token = cookie.value if cookie and _TOKEN.fullmatch(cookie.value) else None
        return cls(token, network_of(scope["client"][0] if scope.get("client") else "unknown"))

    def may_be(self, other: "Visitor") -> bool:
        """Whether two requests may come from one visitor; of programs without cookies only the address tells."""
        return self.token == other.token and (self.token is not None or self.address == other.address)


NOBODY = Visitor()
"""The visitor of what did not come over the network."""


def new_token() -> str:
    """A cookie's value that nobody can guess."""
    return secrets.token_urlsafe(16)


def is_session(name: object) -> bool:
    """Whether a value can be the name that a page or a client gives its session."""
    return isinstance(name, str) and _SESSION.fullmatch(name) is not None


def network_of(host: str) -> str:
    """An address as it counts for fair shares: an IPv6 subscriber has a whole /64."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


class Rate:
    """How much each address may have: a bucket that fills at an even pace, and that is emptied by use.

    Parameters
    ----------
    burst : what an address may have at once
    per_s : what it may have a second for good
    """

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left: dict[str, tuple[float, float]] = {}

    def allows(self, address: str) -> bool:
        """Count one more, if there is room for it; whether there was."""
        if self._left_of(address) < 1:
            return False
        self.wait_s(address, 1)
        return True

    def wait_s(self, address: str, amount: float) -> float:
        """Count an amount in any case; returns the seconds until the address is within its rate again."""
        left, now = self._left_of(address) - amount, time.monotonic()
        self._left[address] = left, now
        if len(self._left) > 1000:
            self._left = {other: its for other, its in self._left.items() if self._left_of(other) < self._burst}
        return max(0.0, -left / self._per_s)

    def _left_of(self, address: str) -> float:
        left, at = self._left.get(address, (self._burst, 0.0))
        return min(self._burst, left + self._per_s * (time.monotonic() - at))


def has_room(held: float, others: float, capacity: float, share: float) -> bool:
    """Whether one address may hold `held` of what all share.

    An address may hold up to `share` of what the others leave. So whoever comes late finds room, however much one
    address asks for, and a single address may use a good part of an idle server (dynamic thresholds: Choudhury and
    Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
    """
    return held <= share * (capacity - others)
