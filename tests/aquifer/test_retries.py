"""What may pass by itself is tried again, ever later; what a person must mend is not."""

import pytest
from dagster import DagsterEventType, OpExecutionContext, job, op

from aquifer.assets import permanent_errors_fail_at_once
from aquifer.automation import RETRIES
from aquifer.errors import PassingError, SettingError


@pytest.mark.parametrize(
    ("error", "tried_again"),
    [(PassingError("a service is down"), 1), (OSError("away"), 1), (SettingError("wrong"), 0)],
)
def test_only_what_may_pass_is_tried_again(error, tried_again):
    @op(retry_policy=RETRIES)
    def advance(context: OpExecutionContext) -> None:
        with permanent_errors_fail_at_once():
            if not context.retry_number:
                raise error

    @job
    def advancing() -> None:
        advance()

    done = advancing.execute_in_process(raise_on_error=False)
    kinds = [event.event_type for event in done.all_events]
    assert kinds.count(DagsterEventType.STEP_UP_FOR_RETRY) == tried_again
    assert done.success == bool(tried_again)


def test_each_attempt_waits_about_twice_as_long_and_never_all_at_once():
    waits = [{RETRIES.calculate_delay(attempt) for _ in range(20)} for attempt in (1, 2, 3)]
    assert RETRIES.max_retries == len(waits)
    assert all(len(each) > 1 for each in waits)
    middle = [sum(each) / len(each) for each in waits]
    assert middle[0] < middle[1] < middle[2]
