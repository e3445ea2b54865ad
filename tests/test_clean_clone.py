"""The first of the README's commands, as a newcomer gives it. `make test-demo` runs this file."""

import os
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_make_demo_works_in_a_clean_clone(tmp_path):
    clone = tmp_path / "a path with spaces"
    subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AQUIFER_", "DAGSTER_", "PYTHON", "MAKE", "MFLAGS", "VIRTUAL_ENV"))
    }
    made = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env={**environment, "LANG": "C", "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "0 warned, 0 failed" in made.stdout
    assert "Traceback" not in made.stdout + made.stderr
    aquifer = [clone / ".venv" / "bin" / "aquifer", "query", "--format", "csv"]
    sold = "select count(*) from gold.fct_sales where line_type = 'sale'"
    kept = "select count(*) from silver.invoice_lines where line_type = 'sale'"
    answers = [
        subprocess.run([*aquifer, sql], cwd=clone, env=environment, capture_output=True, text=True)
        for sql in (sold, kept)
    ]
    gold, silver = (int(answer.stdout.splitlines()[1]) for answer in answers)
    assert gold == silver > 0
    # What a run writes is in no one's way.
    status = ["git", "status", "--porcelain"]
    assert not subprocess.run(status, cwd=clone, capture_output=True, check=True).stdout
