"""One more day on top of the 10 days before it, and on top of all days before it."""

from common import demo, empty_home, invoice_files, show

files = invoice_files()
rows = []
for before in (10, len(files) - 1):
    with empty_home() as home:
        # The days just before, so that the same day is added and the same time passes in both.
        demo(home, files[-before - 1 : -1])
        measured = demo(home, files[-1:])
    rows.append((before, files[-1].name, f"{measured.wall:.1f}", f"{measured.cpu:.1f}"))
show("One more day", ["days before", "the day", "wall s", "cpu s"], rows)
print(f"ratio of wall seconds: {float(rows[1][2]) / float(rows[0][2]):.2f}")
