"""The `aquifer` command.

Belongs here: arguments and exit codes (0 fine, 1 the platform says no, 2 wrong arguments). Does
not: the work itself, how results are printed (`printing`), and where the domain is (`plugins`).
"""

import os
import socket
import sys
import time
import warnings
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aquifer.errors import AquiferError, SettingError
from aquifer.models import cli as models
from aquifer.plugins import PROJECT, plugin

if TYPE_CHECKING:
    from aquifer.avro_events import AvroTopics
    from aquifer.schema_source import SchemaRegistry

MODEST_RATE = 20.0
"""Simulated events a second that a laptop does not feel."""

MOST_MINUTES = 1_000_000

Fraud = Annotated[
    str | None,
    typer.Option(help="Fraud at the tills, and verdicts on it: usual or shifted; none if not set."),
]

app = typer.Typer(
    help="A retail data and AI platform as one Dagster asset graph.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.add_typer(models.app, name="model")


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    csv = "csv"
    json = "json"


class EventFormat(StrEnum):
    """How simulated events are written."""

    json = "json"
    avro = "avro"


@app.command()
def demo(
    data: Annotated[Path, typer.Option(help="Folder of daily CSV files of invoice lines.")],
) -> None:
    """Deliver the files, run the main job on them and print what came of it."""
    from aquifer import foreground, printing
    from aquifer.landing import LandingFolder, deliver

    started = time.monotonic()
    LandingFolder(data).check()
    environment = plugin("environment")
    environment.resources()["lake"].lake.check()
    with foreground.instance() as instance:
        delivered = deliver(data, environment.landing_folder())
        print(f"{delivered} files delivered to {environment.landing_folder()}")
        definitions, snapshots = plugin("definitions"), plugin("snapshots")
        outcome = foreground.Outcome()
        foreground.run_job(definitions.resolve_job_def("main"), instance, outcome, {})
        lake = definitions.resources["lake"].lake
        days = snapshots.touched_days(lake)
        if outcome.ok and days:
            job = definitions.resolve_job_def("snapshots")
            foreground.run_job(job, instance, outcome, days.tags)
        printing.print_summary(lake, outcome, time.monotonic() - started)
    raise typer.Exit(0 if outcome.ok else 1)


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the UI; a free one if it is taken.")] = 3000,
    host: Annotated[
        str, typer.Option(help="Address of the UI, which asks nobody who they are.")
    ] = "127.0.0.1",
    simulate: Annotated[bool, typer.Option(help="Send live simulated events meanwhile.")] = False,
    rate: Annotated[float, typer.Option(help="Simulated events a second.")] = MODEST_RATE,
    fraud: Fraud = None,
    serve_models: Annotated[
        bool, typer.Option(help="Serve the champions over HTTP meanwhile, on port 8000.")
    ] = False,
) -> None:
    """Start the Dagster UI and the daemon, sensors on, until Ctrl-C."""
    from aquifer import server
    from aquifer.dagster_home import prepared_home
    from aquifer.disk import disk_trouble

    lake = plugin("environment").resources()["lake"].lake
    lake.check()
    home = prepared_home()
    with disk_trouble(), server.only_server(home, lake.leases):
        lake.mend()
        server.close_runs_of_the_dead(home)
        free = _free(host, port)
        taken = f" (port {port} is taken)" if free != port else ""
        print(f"Dagster is at http://{host}:{free}{taken} in a moment; Ctrl-C ends it.", flush=True)
        command = [sys.executable, "-m", "aquifer.cli"]
        simulator = [*command, "simulate", "--rate", str(rate)]
        simulator += ["--fraud", fraud] if fraud else []
        beside = {"the simulator": simulator} if simulate else {}
        if serve_models:
            beside["the model service"] = [*command, "model", "serve"]
        asked = server.serve(host, free, PROJECT, Path(os.environ["DAGSTER_HOME"]), beside)
    raise typer.Exit(0 if asked else 1)


@app.command()
def simulate(
    rate: Annotated[float, typer.Option(help="Events a second, over all topics.")] = MODEST_RATE,
    minutes: Annotated[float, typer.Option(help="How long; 0: until Ctrl-C.")] = 0,
    seed: Annotated[int, typer.Option(help="Which events they are.")] = 17,
    topic: Annotated[list[str] | None, typer.Option(help="A topic that shares the rate.")] = None,
    start: Annotated[
        str | None,
        typer.Option(help="When the first event is due, in ISO 8601, UTC unless it says; at once."),
    ] = None,
    format: Annotated[
        EventFormat, typer.Option(help="How events are written; avro takes a schema registry.")
    ] = EventFormat.json,
    fraud: Fraud = None,
) -> None:
    """Send live events of simulated tills, shops and sensors to the event log, open loop."""
    from aquifer import signals
    from aquifer.disk import disk_trouble

    if not 0 <= minutes <= MOST_MINUTES:
        raise SettingError(f"--minutes is {minutes:g}; use 0 (until Ctrl-C) to {MOST_MINUTES:,}")
    begin = _instant(start) if start else None
    # Before the rest is loaded, as Ctrl-C may come meanwhile.
    asked = signals.caught()
    wired = plugin("environment").resources()
    simulation = wired["simulation"]
    encoded = _in_avro(wired["schemas"]) if format is EventFormat.avro else None
    with disk_trouble(), wired["events"].reading() as log:
        stream = simulation.live(begin, rate, seed=seed, topics=topic or (), fraud=fraud)
        sent = simulation.send(stream, log, minutes, lambda: bool(asked), encoded)
    by_topic = ", ".join(f"{count:,} to {name}" for name, count in sorted(sent.events.items()))
    print(
        f"{sent.events.total():,} events sent, {by_topic or 'none was due'}; "
        f"the slowest {sent.behind.total_seconds():.3f} s after it was due"
    )


@app.command()
def drain(
    minutes: Annotated[float, typer.Option(help="End after so long.")] = 15,
    idle_seconds: Annotated[
        float, typer.Option(help="End when no event has come for so long.")
    ] = 10,
) -> None:
    """Take the events that wait in the log, and those that come meanwhile, to gold.

    Windows, patterns and marts follow at the end.
    """
    from aquifer import foreground

    definitions = plugin("definitions")
    outcome = foreground.Outcome()
    with foreground.instance() as instance:
        for job, op, idle in (
            ("drain", "drain_streams", idle_seconds),
            ("downstream", "follow_streams", 0.0),
        ):
            config = {"minutes": minutes, "idle_seconds": idle}
            foreground.run_job(
                definitions.resolve_job_def(job),
                instance,
                outcome,
                {},
                {"ops": {op: {"config": config}}},
            )
    if outcome.failures:
        raise AquiferError("; ".join(outcome.failures))


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(help="One SQL statement over silver.*, gold.*, serving.*, ...")
    ],
    format: Annotated[Format, typer.Option(help="How the result is printed.")] = Format.table,
) -> None:
    """Query the lake."""
    from aquifer import printing
    from aquifer.query import Queries

    wired = plugin("environment").resources()
    # Loaded only where it is asked for: it takes most of a second.
    served = plugin("tables").serving if "serving" in sql.lower() else ()
    result = Queries(wired["lake"].lake, served, wired["cache"].cache).run(sql)
    if format is Format.json:
        printing.print_json(result)
    elif format is Format.csv:
        printing.print_csv(result)
    else:
        printing.print_table(result)


@app.command()
def topics() -> None:
    """Print the topics of the event log: what each holds, and the lag of each consumer group."""
    from aquifer import printing
    from aquifer.disk import disk_trouble
    from aquifer.topics import overview

    with disk_trouble(), plugin("environment").resources()["events"].reading() as log:
        printing.print_table(overview(log))


@app.command()
def replay(
    table: Annotated[str, typer.Argument(help="A silver table, such as silver.invoice_lines.")],
    repairs: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of repaired rows, an array of {position, raw}: what `aquifer query "
            "'select position, raw from silver.invoice_lines_quarantine' --format json` prints, "
            "corrected."
        ),
    ] = None,
) -> None:
    """Check the refused rows of a table again, and take in those that pass."""
    from aquifer import foreground

    config = {"table": table, **({"repairs": str(repairs.resolve())} if repairs else {})}
    outcome = foreground.Outcome()
    with foreground.instance() as instance:
        foreground.run_job(
            plugin("definitions").resolve_job_def("replay_quarantine"),
            instance,
            outcome,
            {},
            {"ops": {"replay_refused_rows": {"config": config}}},
        )
    if outcome.failures:
        raise AquiferError("; ".join(outcome.failures))
    for name, rows in outcome.counts.items():
        print(f"{name}: {rows:,}")
    if outcome.counts["rows replayed"]:
        print("Gold takes them in with its next run: at once under `make up`, else by `make demo`.")


@app.command()
def repair(
    table: Annotated[str, typer.Argument(help="A table whose data files are gone.")],
) -> None:
    """Let a table go on without files that are gone; its next run makes their rows again."""
    from aquifer.repair import repair

    tables = plugin("tables")
    lake = plugin("environment").resources()["lake"].lake
    missing = repair(lake, table, tables.silver, tables.gold)
    for file in missing:
        print(f"{table} goes on without {file}")
    print("Its next run makes the rows again." if missing else f"{table} lacks no file.")


@app.command()
def dbt_properties(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is current.")] = False,
) -> None:
    """Write dbt's sources and properties from the contracts."""
    from aquifer.dbt_properties import properties

    tables = plugin("tables")
    path = PROJECT / "dbt_project" / "models" / "properties.yml"
    wanted = properties({t.name: t.contract for t in tables.silver}, tables.gold.contracts)
    current = path.read_text(encoding="utf-8") if path.exists() else ""
    if check and wanted != current:
        raise SettingError(f"{path.name} is not current; run `aquifer dbt-properties`")
    if not check:
        path.write_text(wanted, encoding="utf-8")


@app.command()
def event_schemas(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is current.")] = False,
) -> None:
    """Append to the history of each topic's event schemas what its contract has changed."""
    from aquifer.event_schemas import bring_up_to_date

    tables = plugin("tables")
    bring_up_to_date(tables.events, tables.EVENT_SCHEMAS, check=check)


def main() -> None:
    """Run the command; what a person can mend is one line on standard error, and exit code 1."""
    # By what Dagster's warnings say, as not every command loads it.
    warnings.filterwarnings("ignore", message=".* is currently in (beta|preview)")
    try:
        app()
    except AquiferError as error:
        print(f"aquifer: {error}", file=sys.stderr)
        sys.exit(1)


def _in_avro(registry: "SchemaRegistry | None") -> "AvroTopics":
    """What writes the events of every topic in Avro, their schemas registered."""
    if registry is None:
        raise SettingError("--format avro needs AQUIFER_SCHEMA_REGISTRY to be set to a URL")
    from aquifer.avro_events import AvroTopics

    contracts = {table.reads.topic: table.contract for table in plugin("tables").events}
    return AvroTopics.registered(contracts, registry)


def _instant(text: str) -> datetime:
    """The instant that a person wrote."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingError(
            f"'{text}' is no instant; write one like 2011-03-01T08:26:00Z"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _free(host: str, port: int) -> int:
    for candidate in (port, 0):
        with socket.socket() as probe:
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    raise SettingError(f"no port of {host} can be had; use an address of this machine")


if __name__ == "__main__":
    main()
