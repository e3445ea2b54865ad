"""The rates service as a source: pages, watermark, rate limits, failures and bad answers."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from aquifer.errors import SourceError
from aquifer.instants import micros
from aquifer.lake import Lake
from aquifer.lease import FileLeases
from assets.bronze.exchange_rates import exchange_rates
from resources.exchange_rates import ExchangeRates
from resources.rewards_database import RewardsExtracts, create_tables
from resources.simulation import rates_server
from resources.simulation.rates_server import serve_rates
from resources.sqlite import connect

NEW_YEAR = datetime(2011, 1, 1, tzinfo=UTC)
ONE_RATE = {"date": "2010-12-31", "currency": "EUR", "rate": "1.1612"}
GOES_AWAY = object()
PAGE = {"rates": [ONE_RATE], "page": 1, "pages": 1}


class ScriptedService:
    """A service that gives prepared answers in turn, the last one for ever, and keeps the asked.

    An answer is a status, a body (text, or what becomes JSON) and headers. A body of None breaks
    the connection off; GOES_AWAY ends the service.
    """

    def __init__(self, *answers: tuple[int, object, dict]) -> None:
        self.answers = list(answers)
        self.questions: list[dict[str, str]] = []
        self.instants: list[float] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.instants.append(time.monotonic())
        question = parse_qs(urlsplit(handler.path).query)
        self.questions.append({name: values[0] for name, values in question.items()})
        last = len(self.answers) == 1
        status, body, headers = self.answers[0] if last else self.answers.pop(0)
        if body is GOES_AWAY:
            self.stop()
        if body in (None, GOES_AWAY):
            handler.close_connection = True
            return
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def scripted(*answers: tuple[int, object, dict]) -> Iterator[ScriptedService]:
    service = ScriptedService(*answers)
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture
def clock(tmp_path) -> RewardsExtracts:
    return RewardsExtracts(tmp_path / "rewards.db")


def set_clock(clock: RewardsExtracts, now: datetime) -> None:
    with closing(connect(clock.path)) as connection:
        create_tables(connection)
        connection.execute("update clock set ts_us = ?", (micros(now),))


def fetched(service: ScriptedService, clock: RewardsExtracts) -> list[dict]:
    set_clock(clock, NEW_YEAR)
    return ExchangeRates(service.url, clock).extract("exchange_rates", None).to_pylist()


def refused(service: ScriptedService, clock: RewardsExtracts) -> str:
    """The one line in which fetching ends."""
    with pytest.raises(SourceError) as raised:
        fetched(service, clock)
    message = str(raised.value)
    assert "\n" not in message
    assert service.url in message
    return message


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    with serve_rates() as url:
        yield url


def published(begin: str, end: str) -> list[dict]:
    return [rate for rate in rates_server.rates() if begin <= rate["date"] <= end]


def test_pages_give_every_rate_once_through_the_failures_of_the_service(simulated, clock):
    # 2,088 rates in 11 pages, of which the service fails one or two.
    set_clock(clock, datetime(2013, 12, 31, tzinfo=UTC))
    source = ExchangeRates(simulated, clock, first_day="2010-01-01")
    found = source.extract("exchange_rates", None).to_pylist()
    assert found == published("2010-01-01", "2013-12-31")
    assert len(found) > 10 * rates_server.PAGE_SIZE


def test_only_days_from_the_watermark_to_the_present_are_fetched(simulated, clock):
    set_clock(clock, datetime(2011, 3, 4, tzinfo=UTC))
    since = datetime(2011, 2, 28, tzinfo=UTC)
    found = ExchangeRates(simulated, clock).extract("exchange_rates", since)
    assert found.to_pylist() == published("2011-02-28", "2011-03-04")
    assert found.num_rows == 10
    # Before the first day of the simulation nothing is asked of it.
    set_clock(clock, datetime(1970, 1, 1, tzinfo=UTC))
    assert ExchangeRates(simulated, clock).extract("exchange_rates", None).num_rows == 0


def test_the_simulated_service_limits_requests_and_refuses_nonsense(simulated, clock):
    deadline = time.monotonic() + 20
    with requests.Session() as session:
        span = {"from": "2011-03-01", "to": "2011-03-02", "page": "1"}
        answer = session.get(f"{simulated}/rates", params=span)
        while answer.status_code != 429:
            assert time.monotonic() < deadline
            answer = session.get(f"{simulated}/rates", params=span)
        assert answer.headers["Retry-After"] == "1"
    set_clock(clock, NEW_YEAR)
    source = ExchangeRates(simulated, clock, first_day="yesterday")
    with pytest.raises(SourceError, match=r"answers 400 .*ask with from=, to= and page="):
        source.extract("exchange_rates", None)


def test_bronze_asks_from_a_week_before_its_watermark_and_takes_each_rate_once(clock, tmp_path):
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    first = [ONE_RATE, ONE_RATE | {"date": "2010-12-30"}]
    late = ONE_RATE | {"date": "2010-12-28", "currency": "USD"}
    second = [late, *first, ONE_RATE | {"date": "2011-01-03"}]
    with scripted((200, PAGE | {"rates": first}, {}), (200, PAGE | {"rates": second}, {})) as rates:
        source = ExchangeRates(rates.url, clock, first_day="2010-11-01")
        set_clock(clock, NEW_YEAR)
        assert exchange_rates.advance(lake, source).written == 2
        set_clock(clock, datetime(2011, 1, 4, tzinfo=UTC))
        advanced = exchange_rates.advance(lake, source)
        assert (advanced.written, advanced.duplicates) == (2, 2)
        assert exchange_rates.advance(lake, source).written == 0
    assert [(question["from"], question["to"]) for question in rates.questions] == [
        ("2010-11-01", "2011-01-01"),
        ("2010-12-24", "2011-01-04"),
        ("2010-12-27", "2011-01-04"),
    ]
    held = lake.read("bronze.exchange_rates", ["date", "currency", "rate"]).to_pylist()
    assert sorted(held, key=str) == sorted(second, key=str)


def test_a_rate_that_is_corrected_and_put_back_is_taken_each_time(clock, tmp_path):
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    dollar = ONE_RATE | {"currency": "USD", "rate": "1.5"}
    corrected = ONE_RATE | {"rate": "1.2"}
    pages = [[ONE_RATE, dollar], [corrected, dollar], [ONE_RATE, dollar]]
    with scripted(*((200, PAGE | {"rates": page}, {}) for page in pages)) as rates:
        set_clock(clock, NEW_YEAR)
        source = ExchangeRates(rates.url, clock)
        written = [exchange_rates.advance(lake, source).written for _ in range(4)]
    assert written == [2, 1, 1, 0]


def test_a_rate_limit_is_waited_for_and_the_page_asked_for_again(clock):
    limited = (429, {"error": "too many requests"}, {"Retry-After": "1"})
    with scripted(limited, (200, PAGE, {})) as service:
        assert fetched(service, clock) == [ONE_RATE]
    assert [question["page"] for question in service.questions] == ["1", "1"]
    assert service.instants[1] - service.instants[0] >= 1.0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_of_the_service_is_tried_again(clock, status):
    with scripted((status, "oops", {}), (200, PAGE, {})) as service:
        assert fetched(service, clock) == [ONE_RATE]
    assert len(service.questions) == 2


def test_a_connection_that_breaks_off_is_tried_again(clock):
    with scripted((200, None, {}), (200, PAGE, {})) as service:
        assert fetched(service, clock) == [ONE_RATE]


def test_a_failure_between_pages_repeats_only_its_page(clock):
    pages = [
        (200, {"rates": [ONE_RATE | {"date": f"2010-12-0{n}"}], "page": n, "pages": 3}, {})
        for n in (1, 2, 3)
    ]
    with scripted(pages[0], (503, "oops", {}), *pages[1:]) as service:
        days = [rate["date"] for rate in fetched(service, clock)]
    assert days == ["2010-12-01", "2010-12-02", "2010-12-03"]
    assert [question["page"] for question in service.questions] == ["1", "2", "2", "3"]


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_permanent_refusal_fails_at_once_naming_url_status_and_answer(clock, status):
    with scripted((status, "<html>\n<b>no such\nthing</b>", {})) as service:
        message = refused(service, clock)
    assert f"answers {status}" in message
    assert "no such thing" in message
    assert len(service.questions) == 1


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("<html>\nWelcome to the\nhotel</html>", "Welcome to the hotel"),
        ("", ""),
        ({"rates": [ONE_RATE]}, "'pages'"),
        ({"pages": 1}, "'rates'"),
        ({"pages": "many", "rates": []}, "many"),
        ({"pages": 1, "rates": [{"date": "2010-12-31", "rate": "1.1"}]}, "'currency'"),
        ({"pages": 1, "rates": {"EUR": "1.1"}}, "EUR"),
        ({"pages": 1, "rates": None}, "null"),
        ([ONE_RATE], "EUR"),
    ],
)
def test_a_malformed_answer_is_one_line_that_shows_it(clock, body, shown):
    with scripted((200, body, {})) as service:
        message = refused(service, clock)
    assert "is no page of rates" in message
    assert shown in message
    assert len(service.questions) == 1


def test_a_rate_keeps_all_its_places(clock):
    rate = '{"date": "2010-12-31", "currency": "EUR", "rate": 1.10000000000000003}'
    body = f'{{"pages": 1, "rates": [{rate}]}}'
    with scripted((200, body, {})) as service:
        assert fetched(service, clock)[0]["rate"] == "1.10000000000000003"


def test_a_service_that_is_not_there_is_one_line(clock):
    with scripted((200, PAGE, {})) as service:
        pass
    assert "cannot be reached" in refused(service, clock)


def test_a_service_that_goes_away_between_pages_leaves_nothing_half_written(clock, tmp_path):
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    set_clock(clock, NEW_YEAR)
    with scripted((200, PAGE | {"pages": 2}, {}), (200, GOES_AWAY, {})) as service:
        source = ExchangeRates(service.url, clock)
        with pytest.raises(SourceError, match="cannot be reached"):
            exchange_rates.advance(lake, source)
    assert lake.read("bronze.exchange_rates").num_rows == 0
    with scripted((200, PAGE, {})) as back:
        assert exchange_rates.advance(lake, ExchangeRates(back.url, clock)).written == 1
    assert back.questions[0]["from"] == "2010-11-01"
