"""The demand forecast against naive, seasonal naive, Theta, ETS and empirical quantiles.

It takes months of invoices; of the sample there are too few. Each origin is forecast by a model
that has learned only from weeks that had ended by then, with parameters that are the same for all.
"""

import argparse
import hashlib
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from common import invoice_files, markdown
from statsforecast import StatsForecast
from statsforecast.models import AutoETS, Naive, SeasonalNaive, Theta

from aquifer.daily import Days
from aquifer.errors import AquiferError
from aquifer.features.view import EVENT_TIME
from aquifer.landing import LandingFolder
from aquifer.models.evaluation import SEED, Floats, gain
from aquifer.models.forecaster import QUANTILES
from aquifer.models.forecasting import BOOSTING, Forecasting
from aquifer.models.model import Split
from aquifer.models.scorer import Scorer
from aquifer.models.training_set import Part, Pinned, TrainingSet
from aquifer.models.tuning import Choice
from aquifer.runtime import Runtime
from assets import snapshots
from assets.features.product_demand import product_demand
from assets.models.demand_forecast import demand_forecast
from assets.silver.invoice_lines import invoice_lines
from resources.engine import EngineResource
from resources.lake import LakeResource
from resources.online_store import OnlineStoreResource

PARAMETERS = {
    "trees": 80,
    "learning_rate": 0.08,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.6,
}
WEEKS = demand_forecast.weeks
INTERVAL = round(100 * (QUANTILES[-1] - QUANTILES[0]))
MODEL, EMPIRICAL = "demand_forecast", "quantiles of 13 weeks"
STATISTICAL: Mapping[str, Any] = {
    "naive": Naive(alias="model"),
    f"seasonal naive ({WEEKS} weeks)": SeasonalNaive(WEEKS, alias="model"),
    "Theta": Theta(season_length=1, alias="model"),
    "ETS": AutoETS(season_length=1, model="ZZN", alias="model"),
}

SERIES = """
    select stock_code, date_add(day, pmod(1 - dayofweek(day), 7)) as sunday, sum(quantity) as units
    from (
        select stock_code, quantity, cast(invoiced_at as date) as day
        from invoice_lines where line_type = 'sale'
    )
    group by stock_code, date_add(day, pmod(1 - dayofweek(day), 7))
"""


def examples(place: Path) -> tuple[TrainingSet, pd.DataFrame]:
    """The examples of all invoices, and the units of each product and week."""
    lake_resource = LakeResource(root=str(place / "lake"), leases=str(place / "leases"))
    session = EngineResource(url="sail://", lake=lake_resource).spark_session
    runtime = Runtime(session, lake_resource.lake)
    invoice_lines.reads.advance(runtime.lake, LandingFolder(invoice_files()[0].parent))
    invoice_lines.advance(runtime)
    store = OnlineStoreResource(url=str(place / "online.db")).store
    started = time.monotonic()
    last = datetime.now().date()
    days = Days(snapshots.FIRST_DAY, last)
    rows = product_demand.advance(runtime, store, days, snapshots.FIRST_DAY).written
    print(f"{rows:,} rows of features in {time.monotonic() - started:.1f} s")
    pinned = Pinned.now(runtime.lake, demand_forecast.upstreams)
    series = session.sql(pinned.with_tables(demand_forecast.tables, SERIES)).toArrow()
    return Forecasting(demand_forecast).training_set(runtime, pinned), series.to_pandas()


def as_of(data: TrainingSet, origin: datetime) -> TrainingSet:
    """What was known at an origin, which is held out alone."""
    rows = data.rows.filter(pc.less_equal(data.rows[EVENT_TIME], origin))
    return replace(data, rows=rows, split=Split(data.split.horizon, timedelta(days=7)))


def learned(learner: Forecasting, data: TrainingSet) -> Floats:
    """What a model forecasts that has learned what was known."""
    graph = learner.fit(data, Choice(BOOSTING, PARAMETERS, 0)).graph.SerializeToString()
    manifest = {
        "name": demand_forecast.name,
        "version": "backtest",
        "inputs": [each.to_json() for each in data.inputs],
        "outputs": [{"name": name, "categories": None} for name in demand_forecast.outputs],
        "sha256": hashlib.sha256(graph).hexdigest(),
    }
    return learner.forecast(Scorer(graph, manifest), data.holdout)


def history(series: pd.DataFrame, part: Part, origin: datetime) -> pd.DataFrame:
    """The whole weeks of each product up to an origin, as statsforecast reads them."""
    until = (origin - timedelta(days=1)).date()
    wide = series.pivot(index="sunday", columns="stock_code", values="units").fillna(0)
    weeks = pd.date_range(wide.index.min(), until, freq="7D").date
    wide = wide.reindex(weeks, fill_value=0)[part.column("stock_code")]
    long = wide.reset_index(names="ds").melt("ds", var_name="unique_id", value_name="y")
    # The week of the first sale may be a part of one.
    return long[long.groupby("unique_id")["y"].cumsum().groupby(long["unique_id"]).shift() > 0]


def statistical(model: Any, known: pd.DataFrame, part: Part) -> Floats:
    """The quantiles of a model that looks at one product at a time."""
    known = known.assign(ds=pd.to_datetime(known["ds"]))
    forecast = StatsForecast(models=[model], freq="7D", n_jobs=1).forecast(
        df=known, h=WEEKS, level=[INTERVAL]
    )
    columns = [f"model-lo-{INTERVAL}", "model", f"model-hi-{INTERVAL}"]
    ordered = forecast.sort_values(["unique_id", "ds"]).set_index("unique_id")
    found = ordered.loc[sorted(part.column("stock_code")), columns].to_numpy(dtype=np.float64)
    return np.maximum(np.nan_to_num(found), 0).reshape(len(part), WEEKS, len(QUANTILES))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--origins", type=int, default=4, help="how many, four weeks apart")
    wanted = parser.parse_args().origins
    learner = Forecasting(demand_forecast)
    with tempfile.TemporaryDirectory() as place:
        data, series = examples(Path(place))
    found: dict[str, list[Floats]] = {}
    seconds: dict[str, float] = {}
    parts = []
    origins = sorted({*data.rows[EVENT_TIME].to_pylist()})[::-2][:wanted][::-1]
    for origin in origins:
        known = as_of(data, origin)
        part = known.holdout
        parts.append(part)
        past = history(series, part, origin)
        ways = {
            MODEL: lambda known=known: learned(learner, known),
            EMPIRICAL: lambda known=known: learner.quantiles(learner.baseline(known)),
            **{
                name: lambda model=model, past=past, part=part: statistical(model, past, part)
                for name, model in STATISTICAL.items()
            },
        }
        for name, forecast in ways.items():
            started = time.monotonic()
            found.setdefault(name, []).append(forecast())
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - started
        print(f"{origin:%Y-%m-%d}: {len(known.training):,} learned from, {len(part):,} forecast")
    groups = [code for part in parts for code in part.column("stock_code")]
    losses = {name: _joined(learner.losses_of, each, parts) for name, each in found.items()}
    errors = {name: _joined(learner.scaled_errors, each, parts) for name, each in found.items()}
    happened = np.concatenate([learner.happened(part) for part in parts])
    rows, differences = [], []
    for name, each in found.items():
        quantiles = np.concatenate(each)
        rows.append(
            (
                name,
                f"{errors[name].mean():.3f}",
                f"{losses[name].mean():.3f}",
                f"{(happened < quantiles[:, :, 0]).mean():.3f}",
                f"{(happened > quantiles[:, :, -1]).mean():.3f}",
                f"{seconds[name]:.1f}",
            )
        )
        if name != MODEL:
            mase, pinball = (gain(kind[name], kind[MODEL], groups) for kind in (errors, losses))
            differences.append((name, str(mase), str(pinball)))
    files = invoice_files()
    print(
        f"{len(files)} days of invoices from {files[0].name} to {files[-1].name}; "
        f"{len(groups):,} products and origins, {WEEKS} weeks each; seed {SEED}; one of "
        f"{os.cpu_count()} cores"
    )
    markdown(
        "Mean over origins",
        ["forecast", "MASE", "scaled pinball", "below p10", "above p90", "seconds"],
        rows,
    )
    markdown(
        f"What {MODEL} gains, by a bootstrap over products",
        ["on", "MASE", "scaled pinball"],
        differences,
    )


def _joined(measure: Any, found: list[Floats], parts: list[Part]) -> Floats:
    return np.concatenate([measure(q, part) for q, part in zip(found, parts, strict=True)])


if __name__ == "__main__":
    # ETS of a product with too few weeks has no variance, and says so each time.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="statsforecast")
    try:
        main()
    except AquiferError as error:
        raise SystemExit(f"forecast.py: {error}") from error
