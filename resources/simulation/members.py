"""Lives of the rewards database: members, their tiers and their points."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from random import Random

from resources.simulation.lives import START, Invoice, chance, instants
from resources.simulation.schedule import Step, text

TIERS = ["bronze", "silver", "gold", "platinum"]


@lru_cache(maxsize=65_536)
def member_id(seed: int, customer_id: str) -> str | None:
    """The customer's number in the rewards programme: six customers in ten are members."""
    joined = chance(seed, "membership", customer_id).random() < 0.6
    return f"M{customer_id}" if joined else None


def _commit_delay(dice: Random) -> timedelta:
    # A few transactions commit hours after the time they carry; an extraction must not miss them.
    return timedelta(minutes=dice.randrange(30, 1200)) if dice.random() < 0.02 else timedelta(0)


def member(seed: int, customer_id: str) -> Iterator[Step]:
    """Joining, moving through the tiers, and sometimes closing the account."""
    identity = member_id(seed, customer_id)
    if identity is None:
        return
    dice = chance(seed, "member", customer_id)
    joined = START + timedelta(minutes=dice.randrange(-400 * 1440, 120 * 1440))
    row = {
        "member_id": identity,
        "customer_id": customer_id,
        "status": "active",
        "joined_on": joined.date().isoformat(),
    }
    yield Step(joined, "insert", "members", dict(row))
    tier = 0
    for n, at in enumerate([joined, *instants(dice, joined, 250)]):
        if n and dice.random() < 0.05:
            yield Step(at, "update", "members", {**row, "status": "closed"})
            return
        tier = min(max(tier + (dice.choice([1, 1, -1]) if n else 0), 0), len(TIERS) - 1)
        change = {
            "tier_change_id": f"{identity}-{n}",
            "member_id": identity,
            "tier": TIERS[tier],
            "changed_at": text(at),
        }
        yield Step(at, "insert", "tier_history", change, _commit_delay(dice))


def points(seed: int, invoice: Invoice) -> Iterator[Step]:
    """A point for each pound of an invoice; a few entries are taken out again."""
    identity = member_id(seed, invoice.customer_id)
    total = sum((Decimal(price) * quantity for _, quantity, price in invoice.lines), Decimal(0))
    if identity is None or total < 1:
        return
    dice = chance(seed, "points", invoice.invoice_no)
    entry = {
        "entry_id": f"P{invoice.invoice_no}",
        "member_id": identity,
        "points": int(total),
        "reason": "purchase",
        "earned_at": text(invoice.invoiced_at),
    }
    yield Step(invoice.invoiced_at, "insert", "points_ledger", entry, _commit_delay(dice))
    if dice.random() < 0.01:
        removed = invoice.invoiced_at + timedelta(minutes=dice.randrange(1440, 20 * 1440))
        yield Step(removed, "delete", "points_ledger", {"entry_id": entry["entry_id"]})
