"""Symbolic links in the temporary folder, for those who cannot take a folder's own name."""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from aquifer.errors import SettingError


def linked(folder: str) -> str:
    """A short and plain name of a folder, which is made if it is absent.

    Raises:
        SettingError: the folder cannot be made, or the name leads elsewhere.
    """
    digest = hashlib.sha256(folder.encode()).hexdigest()[:16]
    link = Path(tempfile.gettempdir()) / f"aquifer-{os.getuid()}-{digest}"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            with suppress(FileExistsError):
                link.symlink_to(folder, target_is_directory=True)
    except OSError as error:
        raise SettingError(f"cannot use the folder {folder}: {error.strerror}") from error
    if link.readlink() != Path(folder):
        raise SettingError(f"{link} leads elsewhere than to {folder}; remove it")
    return str(link)
