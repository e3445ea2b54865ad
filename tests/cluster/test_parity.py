"""What is tested on the embedded engine holds on Spark."""

import os
import subprocess
import sys

import pytest
from conftest import PROJECT


@pytest.mark.parametrize("suite", ["order_tables", "customer_numbers"])
def test_what_holds_on_the_embedded_engine_holds_on_spark(suite, spark):
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", f"tests/assets/test_{suite}.py"],
        cwd=PROJECT,
        env={**os.environ, "AQUIFER_ENGINE": spark.url},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-5_000:]
