"""How Kafka is named and what a client is given, without any broker."""

import pytest

from aquifer.errors import SettingError
from resources.event_log.kafka_client import KafkaClient, security


@pytest.mark.parametrize("url", ["kafka://", "kafka://till:secret@host:9092", "kafka://host/topic"])
def test_a_url_that_names_no_brokers_is_refused_without_what_may_be_secret(url):
    with pytest.raises(SettingError, match="AQUIFER_EVENT_LOG names no brokers") as refused:
        KafkaClient(url, {})
    assert "secret" not in str(refused.value)


@pytest.fixture
def file(tmp_path) -> str:
    (tmp_path / "file.pem").write_text("")
    return str(tmp_path / "file.pem")


def test_nothing_set_is_no_encryption():
    assert security({"AQUIFER_KAFKA_CA": ""}) == {}


def test_a_user_is_told_over_tls_unless_it_is_said_otherwise(file):
    who = {"AQUIFER_KAFKA_USER": "$ConnectionString", "AQUIFER_KAFKA_PASSWORD": "Endpoint=sb://"}
    assert security(who) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "$ConnectionString",
        "sasl.password": "Endpoint=sb://",
    }
    other = {"AQUIFER_KAFKA_SECURITY": "SASL_PLAINTEXT", "AQUIFER_KAFKA_MECHANISM": "SCRAM-SHA-512"}
    configured = security(who | other | {"AQUIFER_KAFKA_CA": file})
    assert configured["security.protocol"] == "SASL_PLAINTEXT"
    assert configured["sasl.mechanism"] == "SCRAM-SHA-512"
    assert configured["ssl.ca.location"] == file


def test_a_certificate_is_tls_alone(file):
    assert security({"AQUIFER_KAFKA_CERT": file, "AQUIFER_KAFKA_KEY": file}) == {
        "security.protocol": "SSL",
        "ssl.certificate.location": file,
        "ssl.key.location": file,
    }


def test_a_file_that_is_none_is_named():
    with pytest.raises(SettingError, match="AQUIFER_KAFKA_CA names /nowhere, which is no file"):
        KafkaClient("kafka://127.0.0.1:9092", {"AQUIFER_KAFKA_CA": "/nowhere"})


def test_settings_that_no_client_can_use_are_one_line(file):
    settings = {"AQUIFER_KAFKA_SECURITY": "TLS", "AQUIFER_KAFKA_PASSWORD": "secret"}
    with pytest.raises(SettingError, match="cannot use the AQUIFER_KAFKA_ settings") as refused:
        KafkaClient("kafka://127.0.0.1:9092", settings)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
