"""The house stands as agreed."""

import platform
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_platform_is_a_source_root_and_shadows_nothing():
    assert not (PROJECT / "platform" / "__init__.py").exists()
    assert platform.system()
