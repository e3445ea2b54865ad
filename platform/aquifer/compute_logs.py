"""What steps print, in Dagster's own files, without the processes that also show it elsewhere.

Dagster's own manager starts four processes a run, two of them Python, to copy the files to the
terminal. The UI reads the files.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import StringSource
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file


class FileComputeLogManager(LocalComputeLogManager):
    """Dagster's local manager, the same files, that copies them nowhere."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration in `dagster.yaml`."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "FileComputeLogManager":
        """The manager that `dagster.yaml` describes."""
        return cls(str(Path(config_value["home"]) / "storage"), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Send what the process prints to the files of a log."""
        files = [self._file(log_key, kind) for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)]
        for file in files:
            ensure_file(file)
        with redirect_to_file(sys.stdout, files[0]), redirect_to_file(sys.stderr, files[1]):
            yield CapturedLogContext(log_key)
        touch_file(self.get_captured_local_path(log_key, "complete"))

    def _file(self, log_key: Sequence[str], kind: ComputeIOType) -> str:
        return str(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]))
