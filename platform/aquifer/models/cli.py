"""The `aquifer model` commands.

Belongs here: arguments. Does not: the work itself, which is loaded where it is done.
"""

import gc
import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aquifer.errors import AquiferError, SettingError
from aquifer.plugins import plugin

if TYPE_CHECKING:
    from aquifer.models.registry import Registry

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A model, such as repeat_purchase.")]
Why = Annotated[str, typer.Option(help="The reason, which is kept.")]


@app.callback()
def packages() -> None:
    """Train, promote, take back and serve models."""
    # Not imported above: a query need not load what Dagster's assets take.
    from aquifer.models.packages import refuse_without_packages

    refuse_without_packages()


@app.command()
def train(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models; all, if none is named.")
    ] = None,
) -> None:
    """Compute what is out of date of features; train, promote, score and plan by what passes."""
    from aquifer import foreground
    from aquifer.features.view import out_of_date
    from aquifer.specs import asset_key

    tables, definitions = plugin("tables"), plugin("definitions")
    chosen = [_known(name) for name in names or [model.name for model in tables.models]]
    lake = definitions.resources["lake"].lake
    outcome = foreground.Outcome()
    with foreground.instance() as instance:
        used = {view.name for m in tables.models if m.name in chosen for view in m.features}
        views = [view for view in tables.features if view.name in used or not names]
        days = out_of_date(lake, views, plugin("snapshots").FIRST_DAY)
        for each in dict.fromkeys(days.values()):
            alike = {asset_key(name) for name, others in days.items() if others == each}
            job = definitions.resolve_job_def("features").get_subset(asset_selection=alike)
            foreground.run_job(job, instance, outcome, each.tags)
        keys = {asset_key(f"{layer}.{name}") for layer in LAYERS for name in chosen}
        keys |= {asset_key(plan.name) for plan in tables.plans if plan.forecaster.name in chosen}
        job = definitions.resolve_job_def("models").get_subset(asset_selection=keys)
        foreground.run_job(job, instance, outcome, {})
    _show(chosen)
    if outcome.failed or outcome.failures:
        raise AquiferError("\n".join([*outcome.failed, *outcome.failures]))


LAYERS = ("models", "champions", "predictions")


@app.command("list")
def list_models() -> None:
    """Print the models with their champion, challenger, and why that was not promoted."""
    _show([model.name for model in plugin("tables").models])


@app.command()
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="A version in the registry.")],
    why: Why = "promoted by hand",
) -> None:
    """Let a version be champion, whatever its gates say."""
    with _uncollected():
        registry = _registry()
        registry.tags(name, version)
        move = registry.promote(name, version, getpass.getuser(), why)
    print(f"{name}: version {move.version} is champion; before, {move.before or 'none'} was")


@app.command()
def rollback(name: Name, why: Why = "taken back by hand") -> None:
    """Let the champion before be champion again; what serves it follows at once."""
    # The registry says which models there are: to load them all takes as long as the rest.
    with _uncollected():
        move = _registry().rollback(name, getpass.getuser(), why)
    print(f"{name}: version {move.version} is champion again, and {move.before} no more")


@app.command()
def serve(
    model: Annotated[
        list[str] | None, typer.Option(help="A model that is served; all, if none is named.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the service.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address of the service, which asks nobody who they are.")
    ] = "127.0.0.1",
) -> None:
    """Serve the champions over HTTP until Ctrl-C; it follows promotions and rollbacks."""
    from aquifer import signals
    from aquifer.models.serve import bound
    from aquifer.models.serve import serve as serve_until_asked

    # Before the rest is loaded, as Ctrl-C may come meanwhile.
    asked = signals.caught()
    with bound(host, port) as held:
        from aquifer.models.champions import Champions
        from aquifer.models.metrics import Metrics
        from aquifer.models.prediction_log import PredictionLog
        from aquifer.models.service import Service

        chosen = {_known(name) for name in model or ()}
        models = [each for each in plugin("tables").models if not chosen or each.name in chosen]
        wired, metrics = plugin("environment").resources(), Metrics()
        registry = wired["registry"].registry
        champions = Champions(registry, models, metrics, required=bool(chosen))
        log = PredictionLog(wired["events"].reading, metrics)
        service = Service(champions, lambda: wired["online"].store, log, metrics)
        print(f"The model service is at http://{host}:{port}/docs; Ctrl-C ends it.", flush=True)
        serve_until_asked(service, held, asked)


@app.command()
def export(
    name: Name,
    to: Annotated[
        Path | None, typer.Option(help="A new folder; by default, <model>-<version> here.")
    ] = None,
) -> None:
    """Write the champion as a bundle that scores anywhere, with Python, numpy and onnxruntime."""
    from aquifer.models.export import export

    print(f"{export(_registry(), _known(name), to)} scores by itself: see edge.py in it")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port of the UI.")] = 5000,
) -> None:
    """Show MLflow's UI of the registry on this machine, until Ctrl-C."""
    uri = plugin("environment").registry().uri
    if uri.startswith("http"):
        print(f"The registry is a server, which has a UI of its own: {uri}")
        return
    environment = {
        **os.environ,
        # Its password is nobody's business who lists processes.
        "MLFLOW_BACKEND_STORE_URI": uri,
        # It would else start workers for jobs that nobody asks for, and leave them behind.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = ["-m", "mlflow", "ui", "--workers", "1", "--port", str(port)]
    os.execve(sys.executable, [sys.executable, *command, "--host", "127.0.0.1"], environment)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let nobody look for garbage in what is loaded meanwhile, nor when the process ends.

    MLflow loads some 2,500 modules: to search them took a third of a command that ends soon.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _registry() -> "Registry":
    registry: Registry = plugin("environment").registry()
    return registry


def _known(name: str) -> str:
    names = [model.name for model in plugin("tables").models]
    if name not in names:
        raise SettingError(f"there is no model '{name}'; the models are: {', '.join(names)}")
    return name


def _show(names: Sequence[str]) -> None:
    import pyarrow as pa

    from aquifer.models.gates import FAILED, GATE
    from aquifer.models.registry import CHALLENGER, CHAMPION, PREVIOUS, ROLLED_BACK
    from aquifer.printing import print_table

    registry = _registry()
    rows = []
    for name in names:
        held = {alias: registry.version(name, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}
        challenger = held[CHALLENGER]
        tags = registry.tags(name, challenger) if challenger else {}
        reasons = [f"{t.removeprefix(GATE)} {v}" for t, v in tags.items() if v.startswith(FAILED)]
        reasons += [f"taken back: {tags[ROLLED_BACK]}"] if ROLLED_BACK in tags else []
        rows.append({"model": name, **held, "why not promoted": "; ".join(reasons)})
    print_table(pa.Table.from_pylist(rows))
