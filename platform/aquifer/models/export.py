"""Exporting a champion as a bundle for the edge.

Belongs here: what is in the bundle. Does not: what it does there (`edge`).
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from aquifer.errors import SettingError
from aquifer.models import prediction, scorer
from aquifer.models.errors import RegistryError
from aquifer.models.registry import CHAMPION, Registry
from aquifer.models.scorer import GRAPH, MANIFEST

CHECKSUMS = "SHA256SUMS"
"""As `sha256sum --check` reads it."""

EDGE = Path(__file__).with_name("edge.py")


def export(registry: Registry, name: str, to: Path | None) -> Path:
    """Write the champion's bundle; its folder.

    Args:
        to: a folder that does not exist; by default, `<name>-<version>` in the working folder.

    Raises:
        RegistryError: there is no champion, or it cannot be used.
        SettingError: the folder is there, or cannot be written.
    """
    version = registry.version(name, CHAMPION)
    if version is None:
        raise RegistryError(f"{name} has no champion; materialise models/{name}")
    registry.scorer(name, version)
    bundle = registry.bundle(name, version)
    folder = to or Path(f"{name}-{version}")
    if folder.exists():
        raise SettingError(f"{folder} is there already; remove it, or name another with --to")
    files = [bundle / GRAPH, bundle / MANIFEST]
    files += [Path(scorer.__file__), Path(prediction.__file__), EDGE]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            whole = Path(place, folder.name)
            whole.mkdir()
            for file in files:
                shutil.copyfile(file, whole / file.name)
            sums = (f"{_sha256(whole / file.name)}  {file.name}\n" for file in files)
            (whole / CHECKSUMS).write_text("".join(sums), encoding="utf-8")
            whole.rename(folder)
    except OSError as error:
        raise SettingError(
            f"{folder} cannot be written: {error}; name another with --to"
        ) from error
    return folder


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
