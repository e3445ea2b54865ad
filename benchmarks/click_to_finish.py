"""Click to finished: a launch of one table without news through GraphQL, by both run launchers.

Each is measured from the mutation's sending to the success that a poll of the run's status sees, on
a platform of its own that `aquifer up` serves and that has settled.
"""

import argparse
import statistics
import time

from common import empty_home, show
from served import Served, serve

TABLE = ["bronze", "stores"]
POLL_SECONDS = 0.02
DEADLINE_SECONDS = 120
LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
PARAMS = {
    "selector": {
        "repositoryLocationName": "aquifer",
        "repositoryName": "__repository__",
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": TABLE}],
    },
    "mode": "default",
    "executionMetadata": {"tags": []},
}


def click(up: Served) -> float:
    """Seconds from the click to the success that is seen."""
    started = time.perf_counter()
    launched = up.ask(LAUNCH, params=PARAMS)["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        raise SystemExit(f"the run could not be launched: {launched}")
    run = launched["run"]["runId"]
    while (status := up.ask(STATUS, id=run)["runOrError"]["status"]) != "SUCCESS":
        if status in {"FAILURE", "CANCELED"} or time.perf_counter() - started > DEADLINE_SECONDS:
            raise SystemExit(f"run {run}: {status}")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - started


def measured(launcher: str, launches: int) -> list[str]:
    """Median and 95th percentile of some launches, after one that is not counted."""
    with empty_home() as home, serve(home, warm=launcher == "warm") as up:
        up.settle()
        click(up)
        seconds = sorted(click(up) for _ in range(launches))
    late = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    return [launcher, str(launches), f"{statistics.median(seconds):.2f}", f"{late:.2f}"]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--warm", type=int, default=40, help="launches by the warm launcher")
parser.add_argument("--default", type=int, default=8, help="launches by Dagster's default one")
asked = parser.parse_args()
show(
    f"Click to finished, {'.'.join(TABLE)}",
    ["launcher", "launches", "p50 s", "p95 s"],
    [measured("warm", asked.warm), measured("default", asked.default)],
)
