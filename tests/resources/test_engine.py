"""The engine: its session is the same to all that work in it."""

from dbt.adapters.spark.connections import SparkConnectionMethod, SparkCredentials

from resources.engine import SESSION_SETTINGS


def test_what_dbt_sets_in_the_session_that_it_shares_is_set_before_it_comes():
    """A query else says one thing before dbt has run, and another afterwards."""
    dbt = SparkCredentials(
        database=None, schema="gold", method=SparkConnectionMethod.SESSION, host="engine"
    )
    assert dbt.server_side_parameters
    assert dbt.server_side_parameters.items() <= SESSION_SETTINGS.items()
