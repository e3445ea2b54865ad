"""Exchange rates from a REST service: pages of daily rates, fetched with retries."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import requests

from aquifer.errors import SourceError
from resources.rest import TIMEOUT_SECONDS, retrying_session, shown
from resources.rewards_database import RewardsExtracts

COLUMNS = ("date", "currency", "rate")
Rate = tuple[str, ...]
"""The values of `COLUMNS`."""


@dataclass(frozen=True)
class ExchangeRates:
    """The rates service as a source that is polled.

    Args:
        url: where the service answers `GET /rates?from=&to=&page=`.
        clock: whose present is the last day asked for.
    """

    url: str
    clock: RewardsExtracts
    first_day: str = "2010-11-01"

    def now(self) -> datetime:
        return self.clock.now()

    def keys(self, entity: str) -> None:
        """Published rates are never deleted."""
        return None

    def extract(self, entity: str, since: datetime | None) -> pa.Table:
        """Rates of the days from `since` to the present, as text columns.

        Raises:
            SourceError: the service refuses the question, still fails after all attempts, or
                answers with something else.
        """
        begin = since.date().isoformat() if since else self.first_day
        span = {"from": begin, "to": self.now().date().isoformat()}
        with retrying_session() as session:
            rates = [rate for page in self._pages(session, span) for rate in page]
        return pa.table(
            {
                name: pa.array([rate[place] for rate in rates], pa.string())
                for place, name in enumerate(COLUMNS)
            }
        )

    def _pages(self, session: requests.Session, span: dict[str, str]) -> Iterator[list[Rate]]:
        page = pages = 1
        while page <= pages:
            response = self._get(session, {**span, "page": str(page)})
            rates, pages = _read(response)
            yield rates
            page += 1

    def _get(self, session: requests.Session, question: dict[str, str]) -> requests.Response:
        try:
            response = session.get(f"{self.url}/rates", params=question, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise SourceError(
                f"the rates service at {self.url} cannot be reached ({type(error).__name__}); "
                "check its URL"
            ) from error
        if not response.ok:
            raise SourceError(
                f"the rates service answers {response.status_code} to {response.url}: "
                f"{shown(response)}"
            )
        return response


def _read(response: requests.Response) -> tuple[list[Rate], int]:
    """The rates of a page, and how many pages there are."""
    try:
        # Rates are money: as text they keep all their places.
        answer = response.json(parse_float=str)
        rates = [tuple(str(rate[name]) for name in COLUMNS) for rate in answer["rates"]]
        return rates, int(answer["pages"])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"the answer of the rates service to {response.url} is no page of rates "
            f"({type(error).__name__}: {error}); check its URL: {shown(response)}"
        ) from error
