"""Spark Structured Streaming doing the bronze and silver work of the tills' events: the peer.

Run by `catch_up.py`, alone in its process: source folder, folder of what is new, folder to write.
What is in the source at first warms it up; the clock runs for what is moved there afterwards. Its
contract, its JSON schema and its checks are the platform's own SQL.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from aquifer.bronze_topics import BYTES
from aquifer.conform import CLEAN, REFUSED, conform_sql
from aquifer.lake import MONTH, SEQUENCE
from assets.silver.pos_events import pos_events
from deploy import jars

CORES = 2

FILES_PER_BATCH = 3
"""Of 100,000 events each: few batches, as each costs a commit and a checkpoint."""

SETTINGS = {
    "spark.jars": ",".join(str(jar) for jar in jars.fetch("delta").glob("*.jar")),
    "spark.driver.memory": "4g",
    # The checks of a row are one long method, which the JVM else never compiles.
    "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:-DontCompileHugeMethods",
    "spark.sql.shuffle.partitions": str(CORES),
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
}
"""Besides those that the platform asks of Spark."""

KEPT = [
    *(f"`{column}`" for column in pos_events.target.columns),
    "_partition",
    "_offset",
    f"date_format({pos_events.time}, 'yyyy-MM') as {MONTH}",
]
REFUSED_ROW = ["_partition", "_offset", "_published_at", BYTES, "_reasons", "_raw"]


class Peer:
    """Bronze, silver and the dead letters as Delta tables in a folder.

    Args:
        source: folder of Parquet files of events as the log gives them.
    """

    def __init__(self, session: SparkSession, source: Path, folder: Path) -> None:
        self._session = session
        self._source = source
        self._folder = folder

    def bronze(self) -> None:
        """Append what is new in the source."""
        schema = self._session.read.parquet(str(self._source)).schema
        new = self._session.readStream.schema(schema)
        text = "cast(value as string)"
        received = (
            new.option("maxFilesPerTrigger", FILES_PER_BATCH)
            .parquet(str(self._source))
            .selectExpr(
                "cast(key as string) as key",
                f"if(is_valid_utf8({text}), {text}, null) as value",
                "partition as _partition",
                "offset as _offset",
                "timestamp as _published_at",
                f"if(is_valid_utf8({text}), null, value) as {BYTES}",
                "current_timestamp() as _ingested_at",
            )
        )
        self._run(received.writeStream.format("delta").option("path", self._place("bronze")), "b")

    def silver(self) -> None:
        """Append what is new in bronze and passes, each id once; what does not, beside."""
        checked = self._checked()
        # A refused row is no duplicate of another, so that it has a key of its own.
        key = f"if({CLEAN}, event_id, concat_ws('/', _partition, _offset))"
        once = checked.selectExpr("*", f"{key} as _key").dropDuplicates(["_key"])
        self._run(once.writeStream.foreachBatch(self._append), "s")

    def rows(self, name: str) -> int:
        """How many rows a table has."""
        return self._session.read.format("delta").load(self._place(name)).count()

    def _checked(self) -> DataFrame:
        new = self._session.readStream.format("delta")
        received = (
            new.option("maxFilesPerTrigger", FILES_PER_BATCH)
            .load(self._place("bronze"))
            .selectExpr("*", f"0L as {SEQUENCE}")
        )
        received.createOrReplaceTempView("received")
        decoded = pos_events.reads.decoded(pos_events.contract)
        before, _, after = decoded.partition("from (select *, from_json(")
        parsed = after.removesuffix(" as event from received)")
        # Exploded, or Spark would parse the event anew for each of its fields.
        once = f"{before}from received lateral view explode(array(from_json({parsed})) as event"
        self._session.sql(once).createOrReplaceTempView("new")
        return self._session.sql(conform_sql(self._session, pos_events.contract, pos_events.query))

    def _append(self, batch: DataFrame, number: int) -> None:
        # Kept, or each of the two appends would parse and look for duplicates.
        batch.persist()
        for name, rows in (
            ("silver", batch.where(CLEAN).selectExpr(*KEPT)),
            ("refused", batch.where(REFUSED).selectExpr(*REFUSED_ROW)),
        ):
            writer = rows.write.format("delta").mode("append")
            if name == "silver":
                writer = writer.partitionBy(MONTH)
            marked = writer.option("txnAppId", name).option("txnVersion", number)
            marked.save(self._place(name))
        batch.unpersist()

    def _run(self, writer, name: str) -> None:
        checkpoint = str(self._folder / "checkpoints" / name)
        writer = writer.option("checkpointLocation", checkpoint).trigger(availableNow=True)
        writer.start().awaitTermination()

    def _place(self, name: str) -> str:
        return str(self._folder / name)


def processor_seconds(jvm: int) -> float:
    """What the JVM and this process have had of the processor so far."""
    fields = Path(f"/proc/{jvm}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") + time.process_time()


def main(source: Path, new: Path, folder: Path) -> None:
    """Print what the work on the new files took, as JSON."""
    os.environ["SPARK_CONF_DIR"] = str(Path(jars.__file__).with_name("spark"))
    builder = SparkSession.builder.master(f"local[{CORES}]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    jvm = int(session.sparkContext._jvm.java.lang.ProcessHandle.current().pid())

    def took(work: Callable[[], None]) -> list[float]:
        wall, cpu = time.perf_counter(), processor_seconds(jvm)
        work()
        return [time.perf_counter() - wall, processor_seconds(jvm) - cpu]

    peer = Peer(session, source, folder)
    peer.bronze()
    peer.silver()
    for file in sorted(new.iterdir()):
        file.rename(source / file.name)
    figures = {"bronze": took(peer.bronze), "silver": took(peer.silver)}
    rows = {f"{name}_rows": peer.rows(name) for name in ("bronze", "silver", "refused")}
    print(json.dumps(figures | rows))


main(*map(Path, sys.argv[1:]))
