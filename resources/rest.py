"""REST services: what is the same for all that are asked over HTTP.

Belongs here: what is tried again, and how an answer is shown in an error. Does not: any service.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

ATTEMPTS = Retry(
    total=6,
    connect=3,
    status_forcelist=[429, 500, 502, 503, 504],
    allowed_methods=None,
    backoff_factor=0.2,
    backoff_jitter=0.2,
    respect_retry_after_header=True,
    raise_on_status=False,
)
"""What is tried again: rate limits (after `Retry-After`) and failures of the server; fewer times
when nothing listens at its address. Whatever the method, so ask only what may be asked twice."""

TIMEOUT_SECONDS = 10


@contextmanager
def retrying_session() -> Iterator[requests.Session]:
    """A session that tries again by itself."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=ATTEMPTS))
        session.mount("https://", HTTPAdapter(max_retries=ATTEMPTS))
        yield session


def shown(response: requests.Response) -> str:
    """The beginning of an answer, on one line."""
    return " ".join(response.text.split())[:200]
