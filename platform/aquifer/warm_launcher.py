"""The run launcher: a run's process is forked by the warm server, else Dagster starts it.

Belongs here: what Dagster asks of a launcher. Does not: forking (`warm_server`), how a process is
known and ended (`run_process`).
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dagster import DagsterInstance, DagsterRun
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from aquifer.run_process import RunProcess
from aquifer.warm_client import WarmServerUnavailable, ask, settings

KILL_AFTER_SECONDS = 20.0
"""How long a terminated run may take to end before it is killed."""


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Launches runs through the warm server, and by Dagster's default launcher without it."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._cold = DefaultRunLauncher()
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """How `dagster.yaml` names this launcher."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration in `dagster.yaml`."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """The launcher that `dagster.yaml` describes."""
        return cls(inst_data)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Launch for an instance."""
        super().register_instance(instance)
        self._cold.register_instance(instance)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Have the run's process forked; without the warm server say so and start it anew."""
        run = context.dagster_run
        process = self.process(run.run_id)
        process.offer()
        try:
            self._ask_for(run, process)
        except WarmServerUnavailable as error:
            if process.withdraw():
                self._instance.report_engine_event(
                    f"{error}; the default launcher starts this run.", run, cls=type(self)
                )
                self._cold.launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run, and kill its process if it does not end; False if it has ended."""
        process = self.process(run_id)
        if not process.warm:
            return bool(self._cold.terminate(run_id))  # type: ignore[no-untyped-call]
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        alive = process.pid is not None
        threading.Thread(target=process.end, args=[KILL_AFTER_SECONDS], daemon=True).start()
        return alive

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Dagster's run monitoring can ask whether a run's process lives."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run lives; of the default launcher's nobody can say."""
        process = self.process(run.run_id)
        if process.warm and not process.pid:
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process has ended")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def get_run_worker_debug_info(
        self, run: DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """What the run's process printed at last."""
        return self.process(run.run_id).last_words() or None

    def process(self, run_id: str) -> RunProcess:
        """The process of a run."""
        return RunProcess(Path(self._instance.storage_directory()) / run_id)

    def _ask_for(self, run: DagsterRun, process: RunProcess) -> None:
        origin = run.job_code_origin
        if origin is None:
            raise WarmServerUnavailable("It is not known where this run's code is")
        request = {
            "run_id": run.run_id,
            "instance": serialize_value(self._instance.get_ref()),
            "folder": str(process.folder),
            "settings": settings(origin.repository_origin.executable_path),
        }
        ask(Path(self._instance.root_directory), request)
