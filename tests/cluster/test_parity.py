"""Both engines leave the same tables: row for row, whatever is changed, restarted or mixed."""

import os
import subprocess
import sys

import pytest
from conftest import PROJECT, Home, invoice_files

from aquifer.quarantine import quarantine_name

HELD_ON_ANY_ENGINE = (
    "tests/aquifer/test_checks.py",
    "tests/assets/test_merges.py",
    "tests/assets/test_order_tables.py",
    "tests/assets/test_customer_numbers.py",
)
"""What else is tested on the embedded engine and has to hold on Spark."""


FIRST, SECOND, THIRD = invoice_files()[:3]
"""Days of real invoices."""


@pytest.fixture(scope="module")
def embedded(homes, nursery) -> Home:
    """A home that the embedded engine has taken all days into."""
    home = homes("embedded")
    assert nursery.work(home, [[FIRST, SECOND], [THIRD]]) == 0
    return home


def differing(home: Home, other: Home) -> list[str]:
    """The tables and quarantines that are not the same."""
    silver = [name for name in home.tables() if name.startswith("silver.")]
    refused = [name for name in map(quarantine_name, silver) if home.lake.exists(name)]
    return home.differing(other, [*home.tables(), *refused])


def test_real_days_are_the_same_on_spark_also_after_its_restart(homes, nursery, embedded, spark):
    """The catalog of a Connect server that was restarted is empty."""
    home = homes("spark")
    assert nursery.work(home, [[FIRST, SECOND]], AQUIFER_ENGINE=spark.url) == 0
    spark.stop()
    spark.start()
    assert nursery.work(home, [[THIRD]], AQUIFER_ENGINE=spark.url) == 0
    assert home.lake.names() == embedded.lake.names()
    assert differing(home, embedded) == []
    assert nursery.work(home, [], full_refresh=True, AQUIFER_ENGINE=spark.url) == 0
    assert differing(home, embedded) == []


def test_either_engine_goes_on_with_what_the_other_wrote(homes, nursery, embedded, spark):
    home = homes("mixed")
    assert nursery.work(home, [[FIRST]]) == 0
    assert nursery.work(home, [[SECOND]], AQUIFER_ENGINE=spark.url) == 0
    assert nursery.work(home, [[THIRD]]) == 0
    assert differing(home, embedded) == []


@pytest.mark.parametrize("suite", HELD_ON_ANY_ENGINE)
def test_what_holds_on_the_embedded_engine_holds_on_spark(suite, spark):
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", suite],
        cwd=PROJECT,
        env={**os.environ, "AQUIFER_ENGINE": spark.url},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-5_000:]
