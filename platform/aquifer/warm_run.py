"""What the children of the fork server do: a run, or closing the run of a child that died.

Belongs here: what happens after the fork. Does not: what happens before it (`warm_preload`), and
who forks (`warm_server`). Dagster is imported in the functions, since the server, which has no
need of it, names them.
"""

import os

from aquifer.run_process import RunProcess, ended

NICE = "aquifer/nice"
"""The tag of runs that let others pass: by how much their priority is lowered, as `nice` does."""


def load() -> None:
    """Do nothing: it answers when all is loaded."""


def execute(instance_ref: str, run_id: str, process: RunProcess) -> None:
    """Execute a run in this process, to its end."""
    with process.claim() as mine:
        if not mine:
            return
        from dagster import DagsterInstance
        from dagster._cli.api import _execute_run_command_body
        from dagster._core.instance import InstanceRef
        from dagster._serdes import deserialize_value
        from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

        setup_interrupt_handlers()
        ref = deserialize_value(instance_ref, InstanceRef)
        with capture_interrupts(), DagsterInstance.from_ref(ref) as instance:
            run = instance.get_run_by_id(run_id)
            # Before it has threads, which keep the priority that they begin with.
            os.nice(int(run.tags.get(NICE, 0)) if run else 0)
            _execute_run_command_body(
                run_id, instance, lambda event: None, set_exit_code_on_failure=False
            )


def close(instance_ref: str, run_id: str, process: RunProcess, code: int) -> None:
    """Close the run of a process that ended with an exit code other than 0."""
    from dagster import DagsterInstance, DagsterRunStatus
    from dagster._core.instance import InstanceRef
    from dagster._serdes import deserialize_value

    if process.pid:
        # It lives: what was lost is the fork server, and with it the code. Dagster's run
        # monitoring looks after it.
        return
    said = process.last_words()
    reason = f"The run's process {ended(code)}." + (f" It said at last:\n{said}" if said else "")
    with DagsterInstance.from_ref(deserialize_value(instance_ref, InstanceRef)) as instance:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        if run.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
