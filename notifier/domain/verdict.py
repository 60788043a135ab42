"""What an answer means. Pure.

Only 2xx is success. A redirect is a failure (it is never followed, because a POST would turn into a GET), and so is
304. 410 is the only failure that ends a delivery at once. 429, 502 and 504 say that the endpoint wants fewer requests.
"""

import re
from typing import Final

from notifier.domain.model import Answer, Verdict

_GONE: Final = 410
_BAD_REQUEST: Final = 400
_SWITCHING: Final = 101
#: The statuses by which a receiver refuses our signature.
_NOT_TRUSTED: Final = frozenset({401, 403})
#: What nginx, Apache and Go answer to a plain request on a port that speaks TLS.
_WANTS_TLS: Final = re.compile(
    rb"(?i)HTTP request (was sent )?to (an )?HTTPS (port|server)|HTTP to an SSL-enabled server"
)
_THROTTLED: Final = frozenset({429, 502, 504})
#: Anything else is not an HTTP status, or an interim one in place of the final one.
_BY_HUNDRED: Final = {
    2: Verdict.DELIVERED,
    3: Verdict.REDIRECTED,
    4: Verdict.CLIENT_ERROR,
    5: Verdict.SERVER_ERROR,
}


def judge(answer: Answer) -> Verdict:
    """The verdict on any answer."""
    if answer.error is not None:
        return answer.error
    status = answer.status_code or 0
    if status == _GONE:
        return Verdict.GONE
    if status in _THROTTLED:
        return Verdict.THROTTLED
    return _BY_HUNDRED.get(status // 100, Verdict.PROTOCOL_ERROR)


def retryable(verdict: Verdict) -> bool:
    """Whether another attempt may follow: after any verdict but success and 410."""
    return verdict not in (Verdict.DELIVERED, Verdict.GONE)


def explain(answer: Answer, verdict: Verdict) -> str:
    """One line for a person who asks why it did not arrive; empty if the verdict and the status say enough."""
    status = answer.status_code
    if answer.detail or not status:
        return answer.detail
    if status == _BAD_REQUEST and _WANTS_TLS.search(answer.head):
        return "this port speaks TLS: write https:// in the url"
    if status in _NOT_TRUSTED:
        return "is the secret the same at both ends? `notifier verify` checks that"
    if verdict is Verdict.PROTOCOL_ERROR:
        switched = "it switched to another protocol (101), which nobody asked for: is the url that of a WebSocket?"
        unknown = f"{status} is no status of HTTP: let it answer 2xx once it has the callback, 4xx or 5xx otherwise"
        return switched if status == _SWITCHING else unknown
    if verdict is not Verdict.REDIRECTED:
        return ""
    to = f"moved to {answer.location.partition('?')[0]}" if answer.location else ""  # a query may carry a token
    return f"{to or f'answered {status} without saying where to'}: change the url"
