"""The client of a schema registry: what it asks, and what it makes of the answers."""

from collections.abc import Iterator

import pytest
from registry import Registry, serving

from aquifer.errors import PassingError, SettingError, SourceError
from resources.environment import resources
from resources.schema_registry import ConfluentRegistry, schema_registry

SCHEMA = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "string"}]}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as registry:
        yield registry


def test_a_schema_is_registered_under_its_topic_once_and_found_by_its_id(registry):
    client = ConfluentRegistry(registry.url)
    number = client.register("pos.events", SCHEMA)
    assert registry.subjects == {number: "pos.events-value"}
    assert client.register("pos.events", SCHEMA) == number
    assert client.register("web.events", SCHEMA | {"doc": "another"}) != number
    assert [client.schema(number), client.schema(number)] == [SCHEMA, SCHEMA]
    assert registry.asked.count(f"GET /schemas/ids/{number}") == 1


def test_what_is_unknown_or_no_avro_is_none_and_asked_for_again(registry):
    client = ConfluentRegistry(registry.url)
    registry.add("syntax = 'proto3';", 2, schemaType="PROTOBUF")
    assert (client.schema(1), client.schema(2)) == (None, None)
    registry.add(SCHEMA, 1)
    assert client.schema(1) == SCHEMA


def test_a_schema_that_the_registry_refuses_is_an_error_with_its_reason(registry):
    refused = SCHEMA | {"name": "refused"}
    with pytest.raises(SourceError, match=r"answers 409 to http\S+-value/versions: .*incompatible"):
        ConfluentRegistry(registry.url).register("pos.events", refused)


def test_a_registry_that_fails_may_pass(registry):
    client = ConfluentRegistry(registry.url)
    number = client.register("pos.events", SCHEMA)
    # One that is not tried again at once, to spare the test the time.
    registry.failing = 507
    with pytest.raises(PassingError, match=r"answers 507 to http\S+/1, and events .* the backend"):
        client.schema(number)
    registry.failing = None
    assert client.schema(number) == SCHEMA


def test_user_and_password_are_asked_for_and_shown_to_nobody():
    with serving("key", "hush") as registry:
        settings = {"AQUIFER_SCHEMA_REGISTRY": f"{registry.url}/"}
        with pytest.raises(SourceError, match=r"401 .*check AQUIFER_SCHEMA_REGISTRY_USER and AQ"):
            schema_registry(settings).schema(1)
        user = {"AQUIFER_SCHEMA_REGISTRY_USER": "key", "AQUIFER_SCHEMA_REGISTRY_PASSWORD": "hush"}
        client = schema_registry(settings | user)
        assert client.schema(1) is None
        assert "hush" not in repr(client)


def test_another_service_at_the_address_is_told_from_a_schema_that_is_missing(registry):
    of_no_use = r"1: {.*} \(if it is another service, correct AQUIFER_SCHEMA_REGISTRY\)"
    with pytest.raises(SourceError, match=of_no_use):
        ConfluentRegistry(f"{registry.url}/elsewhere").schema(1)
    registry.schemas[1] = {}
    with pytest.raises(SourceError, match=of_no_use):
        ConfluentRegistry(registry.url).schema(1)


@pytest.mark.parametrize("url", ["registry:8081", "file:///x", "http://", "http://key:hush@host"])
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(tmp_path, url):
    settings = {"AQUIFER_HOME": str(tmp_path), "AQUIFER_SCHEMA_REGISTRY": url}
    with pytest.raises(SettingError, match="AQUIFER_SCHEMA_REGISTRY is no URL like http") as error:
        resources(settings)
    assert "hush" not in str(error.value)


def test_without_a_setting_there_is_no_registry(tmp_path):
    assert resources({"AQUIFER_HOME": str(tmp_path)})["schemas"] is None
