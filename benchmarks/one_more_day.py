"""One more day on top of 10 days, and on top of all days but one."""

from common import demo, empty_home, invoice_files, show

files = invoice_files()
rows = []
for before in (10, len(files) - 1):
    with empty_home() as home:
        demo(home, files[:before])
        measured = demo(home, files[-1:])
    rows.append((before, files[-1].name, f"{measured.wall:.1f}", f"{measured.cpu:.1f}"))
show("One more day", ["days before", "the day", "wall s", "cpu s"], rows)
print(f"ratio of wall seconds: {float(rows[1][2]) / float(rows[0][2]):.2f}")
