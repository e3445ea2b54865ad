"""The jars of the servers, fetched once from Maven's repositories with the Ivy that pyspark ships.

`python deploy/jars.py [SET ...]` fetches; each set lies in a folder of its own below `FOLDER`.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(os.environ.get("AQUIFER_JARS") or Path(sys.prefix) / "jars")

SETS = {
    "delta": ("io.delta", "delta-spark_4.2_2.13", "4.4.0"),
    "kafka": ("org.apache.kafka", "kafka_2.13", "4.3.1"),
    "connect": ("org.apache.kafka", "connect-runtime", "4.3.1"),
    "debezium": ("io.debezium", "debezium-connector-postgres", "3.7.0.Final"),
}

SHIPPED = ("hadoop-", "jackson-", "log4j-", "parquet-", "scala-library", "slf4j-")
"""Jars that Delta names and Spark has, of its own versions."""


def fetch(name: str) -> Path:
    """The folder with a set's jars, fetched unless they are there."""
    jars = FOLDER / name
    if jars.exists():
        return jars
    if not shutil.which("java"):
        sys.exit("the servers need java; on Debian: apt install default-jre-headless")
    print(f"fetching the jars of {name}", file=sys.stderr, flush=True)
    part = jars.with_name(f"{name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    wanted = ["-dependency", *SETS[name], "-confs", "default"]
    into = ["-retrieve", f"{part}/[artifact]-[revision](-[classifier]).[ext]"]
    fetched = subprocess.run(
        ["java", "-jar", _ivy(), "-cache", part / "cache", *wanted, *into],
        capture_output=True,
        text=True,
    )
    if fetched.returncode:
        sys.exit(f"the jars of {name} cannot be fetched:\n{fetched.stdout[-2_000:]}")
    shutil.rmtree(part / "cache")
    if name == "delta":
        for jar in part.iterdir():
            if jar.name.startswith(SHIPPED):
                jar.unlink()
    try:
        part.rename(jars)
    except OSError:
        # Another process may have fetched them meanwhile.
        if not jars.exists():
            raise
        shutil.rmtree(part)
    return jars


def _ivy() -> Path:
    (pyspark,) = find_spec("pyspark").submodule_search_locations
    (ivy,) = Path(pyspark, "jars").glob("ivy-*.jar")
    return ivy


if __name__ == "__main__":
    for each in sys.argv[1:] or SETS:
        fetch(each)
