"""What an answer means. Pure.

2xx is success and nothing else is: not a redirect (never followed, a POST would turn into a GET), not 304. 410 is
the one answer that ends a delivery; 429, 502 and 504 say that the endpoint wants less.
"""

import re
from typing import Final

from notifier.domain.model import Answer, Verdict

_GONE: Final = 410
_BAD_REQUEST: Final = 400
_SWITCHING: Final = 101
#: What a receiver answers that does not take our signature.
_NOT_TRUSTED: Final = frozenset({401, 403})
#: What nginx, Apache and Go answer to a plain request where they wait for TLS.
_WANTS_TLS: Final = re.compile(
    rb"(?i)HTTP request (was sent )?to (an )?HTTPS (port|server)|HTTP to an SSL-enabled server"
)
_THROTTLED: Final = frozenset({429, 502, 504})
#: Anything else is no status, or an interim one where the final one was due.
_BY_HUNDRED: Final = {
    2: Verdict.DELIVERED,
    3: Verdict.REDIRECTED,
    4: Verdict.CLIENT_ERROR,
    5: Verdict.SERVER_ERROR,
}


def judge(answer: Answer) -> Verdict:
    """The verdict on any answer whatever."""
    if answer.error is not None:
        return answer.error
    status = answer.status_code or 0
    if status == _GONE:
        return Verdict.GONE
    if status in _THROTTLED:
        return Verdict.THROTTLED
    return _BY_HUNDRED.get(status // 100, Verdict.PROTOCOL_ERROR)


def retryable(verdict: Verdict) -> bool:
    """Whether another attempt may follow: after everything but success and 410."""
    return verdict not in (Verdict.DELIVERED, Verdict.GONE)


def explain(answer: Answer, verdict: Verdict) -> str:
    """One line for the person who asks why it did not arrive; empty where the verdict and the status say it all."""
    if not answer.detail and answer.status_code == _BAD_REQUEST and _WANTS_TLS.search(answer.head):
        return "this port speaks TLS: write https:// in the url"
    if not answer.detail and answer.status_code in _NOT_TRUSTED:
        return "is the secret the same at both ends? `notifier verify` tells"
    if not answer.detail and verdict is Verdict.PROTOCOL_ERROR and answer.status_code:
        return _no_status(answer.status_code)
    if answer.detail or verdict is not Verdict.REDIRECTED:
        return answer.detail
    if answer.location:
        return f"moved to {answer.location.partition('?')[0]}: change the url"  # a query may carry a token
    return f"answered {answer.status_code} without saying where to: change the url"


def _no_status(status: int) -> str:
    if status == _SWITCHING:
        return "it switched to another protocol (101), which nobody asked for: is the url one of a WebSocket?"
    return f"{status} is no status of HTTP: let it answer 2xx once it has the callback, 4xx or 5xx otherwise"
