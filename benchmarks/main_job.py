"""The main job on all files, from empty."""

from common import demo, empty_home, invoice_files, show

files = invoice_files()
rows = []
for run in range(1, 4):
    with empty_home() as home:
        measured = demo(home, files)
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
