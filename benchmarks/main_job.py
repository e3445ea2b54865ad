"""The main job on all files, from empty, and where its time goes.

The first run also parses the dbt project, as after each change of it.
"""

import shutil
import time

from common import PROJECT, demo, empty_home, invoice_files, show
from steps import parts

files = invoice_files()
rows = []
shutil.rmtree(PROJECT / "dbt_project" / "target", ignore_errors=True)
for run in range(1, 4):
    with empty_home() as home:
        begun = time.time()
        measured = demo(home, files)
        spent = parts(home, begun, measured.wall)
    size = sum(file.stat().st_size for file in files)
    rows.append(
        (
            run,
            len(files),
            f"{size:,}",
            f"{measured.wall:.1f}",
            f"{measured.cpu:.1f}",
            f"{measured.peak_mib:,.0f}",
        )
    )
show("Main job", ["run", "files", "bytes", "wall s", "cpu s", "peak MiB"], rows)
show("Where the last went", ["part", "wall s"], [(k, f"{s:.1f}") for k, s in spent.items()])
