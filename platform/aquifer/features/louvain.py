"""Louvain's method: how a graph falls into communities, in SQL that every engine runs.

Belongs here: the division. Does not: the graph (`communities`).

Each node goes to the neighbouring community that adds most to the modularity until none goes any
more, then communities are the nodes. Weights are whole numbers, so that no sum depends on its
order, and which nodes may move in a step is a matter of their names: every engine comes to the
same. The graphs of all days are divided at once; none looks at another.
"""

from collections.abc import Sequence

from aquifer.features.staged import Staged

LEVELS, STEPS = 10, 60
"""Bounds of a division, which is settled long before as a rule."""


def divide(staged: Staged) -> None:
    """Let `communities` be those of the graph `edges`: the label of each node, by day."""
    staged.let("links", "select day, a, b, weight from {edges}")
    staged.let("nodes", "select day, a as node, sum(weight) as weight from {links} group by day, a")
    staged.let("communities", "select day, node, node as label from {nodes}")
    for level in range(LEVELS):
        staged.let("labels", "select day, node, node as label, 1 as moving from {nodes}")
        for step in range(STEPS):
            staged.let("labels", STEP, turn=f"{level}.{step}")
            if not staged.any("select 1 from {labels} where moving = 1"):
                break
        if not staged.any("select 1 from {labels} where node <> label"):
            break
        for name, query in zip(("communities", "nodes", "links"), NEXT_LEVEL, strict=True):
            staged.let(name, query)


STEP = """
    with moving as (select * from {labels} where moving = 1),
    totals as (select day, sum(weight) as weight from {nodes} group by day),
    groups as (
        select l.day, l.label, sum(n.weight) as weight
        from moving l join {nodes} n on l.day = n.day and l.node = n.node
        group by l.day, l.label
    ),
    drawn as (
        select day, node, label, sum(weight) as weight
        from (
            select k.day, k.a as node, l.label, k.weight
            from {links} k join moving l on k.day = l.day and k.b = l.node
            union all select day, node, label, cast(0 as bigint) as weight from moving
        )
        group by day, node, label
    ),
    gains as (
        select d.day, d.node, d.label, l.label as held,
            d.weight * t.weight - n.weight
                * (g.weight - case when d.label = l.label then n.weight else 0 end) as gain
        from drawn d join {nodes} n on d.day = n.day and d.node = n.node
            join moving l on d.day = l.day and d.node = l.node
            join groups g on d.day = g.day and d.label = g.label
            join totals t on d.day = t.day
    ),
    ranked as (
        select *, row_number() over (
            partition by day, node
            order by gain desc, case when label = held then 0 else 1 end, label
        ) as place
        from gains
    ),
    wanted as (select day, node, held, label from ranked where place = 1)
    select day, node,
        -- Of ten, three stay: two that go to each other at once would do so for ever.
        case when substr(md5(concat(node, '|{turn}')), 1, 1) < 'b' then label else held end
            as label,
        max(case when label <> held then 1 else 0 end) over (partition by day) as moving
    from wanted
    union all select day, node, label, moving from {labels} where moving = 0
"""
"""A step of the nodes of those days on which any wants to go elsewhere."""

NEXT_LEVEL = (
    """
    select c.day, c.node, l.label
    from {communities} c join {labels} l on c.day = l.day and c.label = l.node
    """,
    """
    select l.day, l.label as node, sum(n.weight) as weight
    from {nodes} n join {labels} l on n.day = l.day and n.node = l.node
    group by l.day, l.label
    """,
    """
    select x.day, x.label as a, y.label as b, sum(k.weight) as weight
    from {links} k join {labels} x on k.day = x.day and k.a = x.node
        join {labels} y on k.day = y.day and k.b = y.node
    where x.label <> y.label
    group by x.day, x.label, y.label
    """,
)
"""The communities of things so far; then, of the graph whose nodes they are, nodes and links."""

SQL: Sequence[str] = (STEP, *NEXT_LEVEL)
"""What decides a division."""
