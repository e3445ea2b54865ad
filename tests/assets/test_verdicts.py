"""Verdicts on events of the tills: as they are sent, so they stand in silver."""

import json
from datetime import UTC, datetime

from worlds import Streams

from resources import environment

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
VERDICT = {
    "verdict_id": "v",
    "event_id": "e",
    "decided_at": "2026-03-01T08:10:00Z",
    "sent_at": "2026-03-01T08:10:01Z",
    "is_fraud": True,
    "pattern": "refund",
}


def test_verdicts_are_drained_with_the_events_that_they_are_on(homes, nursery):
    home = homes("audited")
    wired = environment.resources({"AQUIFER_HOME": str(home.folder)})
    stream = wired["simulation"].live(START, 2, topics=["pos.events"], fraud="usual")
    with wired["events"].reading() as log:
        sent = wired["simulation"].send(stream, log, 60, lambda: False)
    assert nursery.drain(home) == 0
    found = home.rows("select * from silver.pos_verdicts order by verdict_id")
    assert len(found) == sent.events["pos.verdicts"] > 100
    expected = stream.batch(0, sent.slots).events["pos.verdicts"]["value"].to_pylist()
    fields = ("verdict_id", "event_id", "is_fraud", "pattern")
    assert [tuple(row[name] for name in fields) for row in found] == sorted(
        tuple(json.loads(value)[name] for name in fields) for value in expected
    )
    (counts,) = home.rows(
        "select count(*) as on_events, count(*) filter (is_fraud) as frauds "
        "from silver.pos_verdicts join silver.pos_events using (event_id)"
    )
    assert counts["on_events"] == len(found)
    assert 0 < counts["frauds"] < len(found)


def test_a_verdict_without_the_pattern_of_the_fraud_is_refused(tmp_path):
    world = Streams(tmp_path)
    genuine = {**VERDICT, "verdict_id": "g", "is_fraud": False, "pattern": None}
    world.produce("pos.verdicts", VERDICT, genuine, {**VERDICT, "verdict_id": "w", "pattern": None})
    assert world.take_in("pos.verdicts").accounted
    assert {row["verdict_id"] for row in world.rows("silver.pos_verdicts")} == {"v", "g"}
    (refused,) = world.rows("silver.pos_verdicts_quarantine")
    assert refused["reasons"] == ["fraud_has_pattern"]
