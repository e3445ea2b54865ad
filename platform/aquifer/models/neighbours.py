"""Neighbours: which items are in the same baskets, and the graph that recommends by them.

Belongs here: the queries of the engine, and the graph. Does not: what is asked and how good answers
are (`recommendation`).

Two items are alike by the cosine of the baskets that they are in, where a basket counts for less
the more is in it. All sums are of whole numbers: no result depends on an order.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from aquifer.models.graphs import FEATURES, model_of
from aquifer.models.recommender import ITEMS, SCORES
from aquifer.runtime import Runtime

KEPT = 20
"""How many neighbours of an item are kept."""

LEAST_TIMES = 3
"""How often two items have to be in a basket together."""

WHOLE = 10_000
"""The parts of a likeness of 1; of popularity, there are less in one of them."""

POPULAR = timedelta(days=28)
"""What is popular is so in this time."""


class Neighbours(NamedTuple):
    """What goes with what.

    Attributes:
        items: the places of each item's neighbours; shape (items, kept), -1 where there is none.
        likeness: of 10,000; as `items`, 0 where there is none.
        popularity: of each item, from 0 on and less than 10,000.
    """

    items: np.ndarray
    likeness: np.ndarray
    popularity: np.ndarray

    def graph(self, given: int, shown: int) -> onnx.ModelProto:
        """What recommends items: their places and scores, the best first, none that is given."""
        count, kept = self.items.shape
        # One place more stands for what is not given, or was never seen: it is near to nothing.
        near = np.vstack([self.items, np.full(kept, -1)])
        weights = np.vstack([self.likeness, np.zeros(kept)])
        held = {
            "unknown": np.float32(count),
            "near": np.where(near < 0, count, near).astype(np.int64),
            "weights": (weights * WHOLE).astype(np.int32),
            "popularity": np.append(self.popularity, -1).astype(np.int32)[np.newaxis],
            "row": np.array([0, given * kept], dtype=np.int64),
            "first": np.array([0], dtype=np.int64),
            "width": np.array([count + 1], dtype=np.int64),
            "shown": np.array([shown], dtype=np.int64),
            "whole": np.float32(WHOLE * WHOLE),
        }
        never = numpy_helper.from_array(np.array([-1], dtype=np.int32))
        nodes = [
            helper.make_node("IsNaN", [FEATURES], ["absent"]),
            helper.make_node("Where", ["absent", "unknown", FEATURES], ["known"]),
            helper.make_node("Cast", ["known"], ["given"], to=TensorProto.INT64),
            helper.make_node("Gather", ["near", "given"], ["near_each"]),
            helper.make_node("Reshape", ["near_each", "row"], ["near_any"]),
            helper.make_node("Gather", ["weights", "given"], ["weights_each"]),
            helper.make_node("Reshape", ["weights_each", "row"], ["weights_any"]),
            helper.make_node("Shape", [FEATURES], ["shape"]),
            helper.make_node("Gather", ["shape", "first"], ["rows"]),
            helper.make_node("Concat", ["rows", "width"], ["all"], axis=0),
            helper.make_node("Expand", ["popularity", "all"], ["fill"]),
            helper.make_node(
                "ScatterElements",
                ["fill", "near_any", "weights_any"],
                ["sums"],
                axis=1,
                reduction="add",
            ),
            helper.make_node("ConstantOfShape", ["shape"], ["never"], value=never),
            helper.make_node("ScatterElements", ["sums", "given", "never"], ["left"], axis=1),
            helper.make_node("TopK", ["left", "shown"], ["best", ITEMS], axis=1),
            helper.make_node("Cast", ["best"], ["parts"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["parts", "whole"], [SCORES]),
        ]
        outputs = [
            (ITEMS, TensorProto.INT64, [None, shown]),
            (SCORES, TensorProto.FLOAT, [None, shown]),
        ]
        constants = [numpy_helper.from_array(np.asarray(v), name) for name, v in held.items()]
        return model_of(nodes, constants, given, outputs)


def found(runtime: Runtime, baskets: str, upto: date, items: Sequence[str]) -> Neighbours:
    """The neighbours of items, of baskets up to and with a day.

    Args:
        baskets: SQL of rows with `basket`, `item` and `at`.
        items: all that are in these baskets, in the order of their places.
    """
    query = NEIGHBOURS.format(baskets=baskets, upto=upto)
    rows = runtime.session.sql(query).toArrow()
    places = {item: place for place, item in enumerate(items)}
    near = np.full((len(items), KEPT), -1, dtype=np.int64)
    likeness = np.zeros((len(items), KEPT), dtype=np.int64)
    at = _places(rows["item"], places), rows["place"].to_numpy() - 1
    near[at] = _places(rows["other"], places)
    likeness[at] = rows["likeness"].to_numpy()
    return Neighbours(near, likeness, popular(runtime, baskets, upto, items))


def popular(runtime: Runtime, baskets: str, upto: date, items: Sequence[str]) -> np.ndarray:
    """How popular items are lately; as `Neighbours.popularity`."""
    query = SOLD.format(baskets=baskets, upto=upto, since=upto - POPULAR)
    sold = runtime.session.sql(query).toArrow()
    places = {item: place for place, item in enumerate(items)}
    count = np.zeros(len(items), dtype=np.int64)
    count[_places(sold["item"], places)] = sold["baskets"].to_numpy()
    # In shares of the most popular: below a part of a likeness, however many baskets there are.
    return count * (WHOLE - 1) // max(int(count.max()), 1)


def _places(items: pa.ChunkedArray, places: dict[str, int]) -> np.ndarray:
    return np.array([places[item] for item in items.to_pylist()], dtype=np.int64)


NEIGHBOURS = f"""
    with held as (
        select basket, item, cast(round(1000000.0 / count(*) over (partition by basket)) as bigint)
            as weight
        from ({{baskets}})
        where at <= date'{{upto}}'
    ),
    items as (select item, cast(sum(weight) as double) as weight from held group by item),
    pairs as (
        select a.item, b.item as other, count(*) as times, sum(a.weight) as weight
        from held a join held b on a.basket = b.basket and a.item <> b.item
        group by a.item, b.item
        having count(*) >= {LEAST_TIMES}
    ),
    scored as (
        select p.item, p.other, p.times,
            cast(round({WHOLE} * p.weight / sqrt(x.weight * y.weight)) as bigint) as likeness
        from pairs p join items x on p.item = x.item join items y on p.other = y.item
    )
    select item, other, likeness, place
    from (
        select *, row_number() over (
            partition by item order by likeness desc, times desc, other
        ) as place
        from scored
        where likeness > 0
    )
    where place <= {KEPT}
"""

SOLD = """
    select item, count(*) as baskets
    from ({baskets})
    where at > date'{since}' and at <= date'{upto}'
    group by item
"""
