"""The order database on PostgreSQL: what its settings have to say, and the types of its columns."""

import pytest

from aquifer.errors import PassingError, SettingError
from resources.environment import resources
from resources.order_database import TABLES
from resources.order_server import TYPES, order_server

URL = "postgresql://shop:secret@127.0.0.1:1/shop"
LOG = "kafka://127.0.0.1:1"


def test_without_a_url_the_order_database_is_embedded(tmp_path):
    home = {"AQUIFER_HOME": str(tmp_path)}
    for settings in (home, home | {"AQUIFER_ORDERS": "sqlite://"}):
        assert not resources(settings)["orders"].captured


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AQUIFER_ORDERS": "mysql://shop/shop"}, r"write sqlite:// or postgresql://user"),
        ({"AQUIFER_ORDERS": "postgresql:///shop"}, r"write sqlite:// or postgresql://user"),
        ({"AQUIFER_ORDERS": "postgresql://host"}, r"write sqlite:// or postgresql://user"),
        ({"AQUIFER_ORDERS": URL}, r"set AQUIFER_EVENT_LOG to kafka://host:port"),
        (
            {"AQUIFER_ORDERS": URL, "AQUIFER_EVENT_LOG": "sqlite://"},
            r"set AQUIFER_EVENT_LOG to kafka://host:port",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(tmp_path, settings, said):
    with pytest.raises(SettingError, match=said) as raised:
        resources({"AQUIFER_HOME": str(tmp_path), **settings})
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_password_is_neither_stored_nor_printed(tmp_path):
    settings = {
        "AQUIFER_HOME": str(tmp_path),
        "AQUIFER_ORDERS": URL,
        "AQUIFER_EVENT_LOG": LOG,
    }
    assert resources(settings)["orders"].captured
    assert "secret" not in repr(resources(settings))
    assert "secret" not in repr(order_server(settings))


def test_a_server_that_does_not_answer_is_one_line(tmp_path):
    server = order_server({"AQUIFER_ORDERS": URL, "AQUIFER_EVENT_LOG": LOG})
    with pytest.raises(PassingError, match=r"at 127\.0\.0\.1:1/shop does not answer") as raised:
        server.apply(tmp_path / "orders.db")
    assert "\n" not in str(raised.value)


def test_times_and_numbers_are_no_text():
    columns = {column for columns in TABLES.values() for column in columns}
    assert TYPES.keys() < columns
    assert {name for name in columns if name.endswith("_at")} < TYPES.keys()
