"""Recommendations: what is bought together is recommended, and what is not known is passed over."""

from collections import Counter
from random import Random

import pytest
from baskets import basket, group, grouped, product
from customers import LINES, Customers, failed_checks, failure

from aquifer.models.batch import score
from aquifer.models.registry import CHALLENGER, CHAMPION
from aquifer.models.scorer import MANIFEST
from aquifer.models.training_set import Pinned
from assets.features.product_communities import product_communities
from assets.models.recommendations import recommendations

NAME = recommendations.name
TABLE = f"predictions.{NAME}"
GROUPS = [group(n) for n in range(8)]
DAYS = 98
LATE = [product(900), product(901)]
"""Products that are bought together in the last weeks alone."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Customers:
    """A shop whose model was trained once, and promoted."""
    world = Customers(tmp_path_factory.mktemp("shop"))
    early = grouped(range(DAYS - 28), 9, GROUPS)
    late = grouped(range(DAYS - 28, DAYS), 9, GROUPS)
    extra = [row for n in range(28) for row in basket(50_000 + n, DAYS - 28 + n, LATE)]
    alone = [
        row for n in range(9) for row in basket(60_000 + n, n, [LATE[n % 2], GROUPS[0][n % 4]])
    ]
    world.put(LINES, *map(dict, [*early, *late, *extra, *alone]))
    world.compute(product_communities)
    result = world.run(model=recommendations)
    assert result.success, (failed_checks(result), failure(result))
    return world


@pytest.fixture(scope="module")
def champion(shop):
    return shop.registry.champion(NAME)


def test_what_is_bought_together_is_recommended_but_not_what_is_given(shop, champion):
    for codes in GROUPS:
        (alone,) = champion.score([{"item_1": codes[0]}])
        assert {*alone["items"][:5]} == {*codes[1:]}
        (three,) = champion.score([{"item_1": codes[0], "item_2": codes[1], "item_5": codes[2]}])
        assert {*three["items"][:3]} == {*codes[3:]}
        assert not {*three["items"]} & {*codes[:3]}
        assert sorted(three["scores"], reverse=True) == three["scores"]


def test_a_product_that_was_never_sold_is_passed_over_and_the_order_does_not_matter(champion):
    one, other = GROUPS[2][0], GROUPS[5][3]
    (known,) = champion.score([{"item_1": one, "item_2": other}])
    for row in (
        {"item_1": other, "item_2": one},
        {"item_1": "NEVER", "item_2": one, "item_3": other},
        {"item_3": other, "item_4": None, "item_5": one},
    ):
        assert champion.score([row]) == [known]


def test_who_gives_nothing_known_is_shown_what_is_in_most_baskets_lately(shop, champion):
    held = shop.rows(LINES)
    days = sorted({row["invoiced_at"].date() for row in held})
    lately = {*days[DAYS - 56 : DAYS - 28]}
    sold = Counter(row["stock_code"] for row in held if row["invoiced_at"].date() in lately)
    nothing, unseen = champion.score([{}, {"item_1": "NEVER"}])
    assert nothing == unseen
    assert [sold[code] for code in nothing["items"]] == sorted(sold.values(), reverse=True)[:10]


def test_what_is_held_out_is_not_learned(champion):
    (found,) = champion.score([{"item_1": LATE[0]}])
    assert LATE[1] not in found["items"][:4]


def test_it_beats_popularity_on_later_baskets_and_learns_the_same_again(shop):
    tags = shop.registry.tags(NAME, "1")
    assert {tag.removeprefix("gate.") for tag in tags if tag.startswith("gate.")} == {
        *recommendations.gates
    }
    data = recommendations.learner().training_set(
        shop.runtime, Pinned.now(shop.lake, recommendations.upstreams)
    )
    learned, held = (part.rows["event_time"].to_pylist() for part in (data.training, data.holdout))
    assert max(learned) < min(held)
    assert len({*held}) == 28
    learner = recommendations.learner()
    choice = learner.tune(data, None)
    graphs = [learner.fit(data, choice).graph.SerializeToString() for _ in range(2)]
    assert graphs[0] == graphs[1]


def test_each_product_has_its_ten_and_is_not_asked_about_again(shop):
    rows = shop.rows(TABLE)
    latest = max(row["day"] for row in shop.rows(product_communities.name))
    known = [row for row in shop.rows(product_communities.name) if row["day"] == latest]
    assert {row["stock_code"] for row in rows} == {row["stock_code"] for row in known}
    for row in rows:
        assert len({*row["items"], row["stock_code"]}) == 11
        assert len(row["scores"]) == 10
    assert score(recommendations, shop.lake, shop.registry).written == 0


def test_each_product_alone_is_no_drift_from_what_baskets_hold(shop):
    (measured,) = shop.rows(f"monitoring.{NAME}")
    assert (measured["action"], measured["drifted_share"], measured["drifted"]) == (
        "nothing",
        0.0,
        [],
    )
    assert measured["gain"] > 0


def test_thousands_of_products_are_told_once_in_a_bundle(shop, champion):
    told = champion.manifest
    listed = [each["categories"] for each in [*told["inputs"], *told["outputs"]]]
    assert len([each for each in listed if isinstance(each, list)]) == 1
    assert (shop.registry.bundle(NAME, "1") / MANIFEST).stat().st_size < 20_000


def test_a_champion_of_other_products_is_compared_by_what_it_recommends(shop, champion):
    # New products, of which one is before all others in the order of codes.
    dice = Random(4)
    for n in range(20):
        shop.put(LINES, *basket(70_000 + n, 20, ["00001", *dice.sample(GROUPS[n % 8], 3)]))
    learner = recommendations.learner()
    pinned = Pinned.now(shop.lake, recommendations.upstreams)
    data = learner.training_set(shop.runtime, pinned)
    assert data.inputs[0].categories[0] == "00001"
    names = data.inputs[0].categories
    held = learner.held(champion, data)["items"]
    said = champion.score(data.holdout.rows.to_pylist())
    assert [[names[place] for place in row] for row in held] == [row["items"] for row in said]
    result = shop.run("models", model=recommendations)
    assert "the lower bound has to be above 0" in failed_checks(result)["beats_champion"]
    assert shop.registry.version(NAME, CHAMPION) == "1"
    assert shop.registry.version(NAME, CHALLENGER) == "2"


def test_too_few_products_are_refused_in_one_line(tmp_path):
    world = Customers(tmp_path)
    world.put(LINES, *map(dict, grouped(range(40), 2, GROUPS[:2])))
    result = world.run("models", model=recommendations)
    assert "would choose 10 of 12 items, and needs 15" in failure(result)
