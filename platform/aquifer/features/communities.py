"""Communities: things that are found together more often than by chance, as groups of a graph.

Belongs here: the graph, in SQL that every engine runs. Does not: what is found together (the view's
query), and how the graph is divided (`louvain`).

An edge's weight is how sure the link of two things is: their normalised pointwise mutual
information, shrunk where they were seldom together, in whole thousandths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from aquifer.contract import contract_fields
from aquifer.daily import Days
from aquifer.features import louvain
from aquifer.features.staged import Staged
from aquifer.features.view import DAY, EVENT_TIME, FIRST_SUNDAY, FeatureView
from aquifer.lake import Lake
from aquifer.runtime import Runtime

BASKET, ITEM, AT = "basket", "item", "at"

LEAST_TIMES = 5
"""How often two things have to be found together to be linked."""

DOUBT = 20
"""So many times together, half of a link's weight is believed."""

LINKS = 10
"""A thing keeps so many of its best links, and those that others keep to it."""


@dataclass(frozen=True, eq=False)
class CommunityView(FeatureView):
    """The communities that things are in, by what was found together in the time before each day.

    Its features are `community`, the name of the member with most weight to the others;
    `community_size`; `strength`, the weight of the links to other members; and `share_within`, that
    weight by all that the thing has. A thing without links has no row.

    Args:
        query: SQL over the upstream tables, named without their layer; rows with `basket`, `item`
            and `at`, the instant or day of the basket; an item is once in a basket.
        periods: how many times `every` days the time before each day is long.
    """

    periods: int = 26

    @property
    def code(self) -> str:
        return f"{super().code} {self.periods} {SQL}"

    def lineage(self) -> dict[str, list[tuple[str, str]]]:
        made = self.made_from([BASKET, ITEM, AT])
        together = sorted({leaf for leaves in made.values() for leaf in leaves})
        entity = dict.fromkeys(self.entity, made[ITEM])
        return {**dict.fromkeys(self.features, together), **entity, DAY: []}

    def compute(self, runtime: Runtime, days: Days, place: str) -> str:
        staged = Staged(runtime, place, self._view)
        asked, held = self._days(days), self._held(runtime.lake, days)
        staged.let("windows", WINDOWS, days=asked, every=self.every, periods=self.periods)
        staged.let("baskets", BASKETS, held=held, every=self.every)
        staged.let("together", TOGETHER)
        staged.let("pairs", PAIRS)
        staged.let("best", BEST)
        staged.let("edges", EDGES)
        louvain.divide(staged)
        (item,) = self.entity
        columns = {DAY: DAY, EVENT_TIME: f"date_add({DAY}, 1)", item: ITEM}
        chosen = ", ".join(
            f"cast({columns.get(field.name, field.name)} as {field.spark_type}) as `{field.name}`"
            for field in contract_fields(self.contract)
        )
        return staged.let("members", MEMBERS, columns=chosen)

    def _held(self, lake: Lake, days: Days) -> str:
        """The baskets of the time before any of the days, each item with the day of its basket."""
        since = days.first - timedelta(days=self.every * self.periods - 1)
        relations = ", ".join(each.relation(lake) for each in self.reads)
        return (
            f"with {relations} select {BASKET}, {ITEM}, {AT} "
            f"from (select {BASKET}, {ITEM}, cast({AT} as date) as {AT} from ({self.query})) "
            f"where {AT} >= date'{since}' and {AT} <= date'{days.last}'"
        )


WINDOWS = """
    select day, date_sub(day, back) as ends
    from (
        select day, explode(sequence(0, {every} * ({periods} - 1), {every})) as back
        from ({days})
    )
"""
"""The periods that are looked at for each day."""

BASKETS = f"""
    select basket, item, ends
    from (
        select basket, item,
            date_add(at, pmod(datediff(date'{FIRST_SUNDAY}', at), {{every}})) as ends
        from ({{held}})
    )
    where ends in (select ends from {{windows}})
"""
"""What lies in the periods, each with the day that ends its own."""

TOGETHER = """
    select a.ends, a.item as a, b.item as b, count(*) as times
    from {baskets} a join {baskets} b on a.basket = b.basket and a.item < b.item
    group by a.ends, a.item, b.item
"""

PAIRS = f"""
    with often as (
        select a as one, b as other from {{together}} group by a, b
        having sum(times) >= {LEAST_TIMES}
    ),
    pairs as (
        select w.day, t.a, t.b, sum(t.times) as together
        from {{together}} t join often o on t.a = o.one and t.b = o.other
            join {{windows}} w on t.ends = w.ends
        group by w.day, t.a, t.b
        having sum(t.times) >= {LEAST_TIMES}
    ),
    items as (
        select day, item, sum(times) as times
        from (select ends, item, count(*) as times from {{baskets}} group by ends, item) i
            join {{windows}} w on i.ends = w.ends
        group by day, item
    ),
    totals as (
        select day, cast(sum(baskets) as double) as baskets
        from (select ends, count(distinct basket) as baskets from {{baskets}} group by ends) t
            join {{windows}} w on t.ends = w.ends
        group by day
    )
    select p.day, p.a, p.b, cast(round(
        1000 * together / (together + {DOUBT}.0) * ln(together * baskets / (x.times * y.times))
            / -ln(together / baskets)
    ) as bigint) as weight
    from pairs p join items x on p.day = x.day and p.a = x.item
        join items y on p.day = y.day and p.b = y.item
        join totals t on p.day = t.day
    where together < baskets
"""
"""What was found together in the time before each day, once a pair, and how sure that is."""

BEST = f"""
    select day, a, b, weight
    from (
        select *, row_number() over (partition by day, a order by weight desc, b) as place
        from (
            select day, a, b, weight from {{pairs}} where weight > 0
            union all select day, b as a, a as b, weight from {{pairs}} where weight > 0
        )
    )
    where place <= {LINKS}
"""

EDGES = """
    select day, a, b, weight from {best}
    union select day, b as a, a as b, weight from {best}
"""
"""The graph of each day, each edge in both directions."""

MEMBERS = """
    with linked as (
        select e.day, e.a as item, x.label, sum(e.weight) as weight,
            sum(case when x.label = y.label then e.weight else 0 end) as within
        from {edges} e join {communities} x on e.day = x.day and e.a = x.node
            join {communities} y on e.day = y.day and e.b = y.node
        group by e.day, e.a, x.label
    ),
    named as (
        select day, item, within / 1000.0 as strength, within / cast(weight as double)
                as share_within,
            count(*) over (partition by day, label) as community_size,
            first_value(item) over (partition by day, label order by within desc, item)
                as community
        from linked
    )
    select {columns} from named
"""

SQL: Sequence[str] = (WINDOWS, BASKETS, TOGETHER, PAIRS, BEST, EDGES, *louvain.SQL, MEMBERS)
"""What decides the rows, beside the query."""
