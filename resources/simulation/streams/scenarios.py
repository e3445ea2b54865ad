"""Scenarios: how much fraud there is at the tills, of which patterns, and how honest people buy.

Belongs here: what differs from one scenario to another. Does not: who commits fraud, and when
(`fraud`), what it looks like (`disguise`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from aquifer.errors import SettingError

PAYMENTS = [*["card"] * 9, *["cash"] * 3, *["mobile"] * 3, "voucher"]


class Pattern(StrEnum):
    """What fraud is committed at tills."""

    refund = "refund"
    """A cashier returns what nobody bought, and takes the money."""
    sweethearting = "sweethearting"
    """A cashier lets a friend have things for far less than their price."""
    card_testing = "card_testing"
    """Stolen cards are tried out at one register, with small sales within a minute or two."""
    voucher_cash_out = "voucher_cash_out"
    """Stolen vouchers become goods that are easily sold: many pieces of few products."""
    void_after_sale = "void_after_sale"
    """A cashier voids a sale when the buyer has left, and takes the cash."""


Shares = Mapping[Pattern, float]


@dataclass(frozen=True)
class Scenario:
    """What happens at the tills.

    Args:
        fraud: the share that each pattern has of all events of the tills.
        lookalikes: the share of honest events that look like it, more or less.
        payments: how people pay, each as likely.
        prices: percent of the list prices.
        refunded_in: how fraudulent refunds are mostly paid out.
        tested_with: what kind of stolen cards there are.
        overridden: the share of sweethearting by another price, where a discount is usual.
    """

    fraud: Shares = field(default_factory=dict)
    lookalikes: Shares = field(default_factory=dict)
    payments: Sequence[str] = tuple(PAYMENTS)
    prices: int = 100
    refunded_in: str = "cash"
    tested_with: str = "card"
    overridden: float = 0.3


HONEST = Scenario()

SCENARIOS: Mapping[str, Scenario] = {
    "usual": Scenario(
        fraud={
            Pattern.refund: 0.0028,
            Pattern.sweethearting: 0.003,
            Pattern.card_testing: 0.002,
            Pattern.voucher_cash_out: 0.0008,
            Pattern.void_after_sale: 0.0014,
        },
        lookalikes={
            Pattern.refund: 0.004,
            Pattern.sweethearting: 0.02,
            Pattern.card_testing: 0.006,
            Pattern.voucher_cash_out: 0.003,
            Pattern.void_after_sale: 0.0015,
        },
    ),
    "shifted": Scenario(
        fraud={
            Pattern.refund: 0.0012,
            Pattern.sweethearting: 0.0018,
            Pattern.card_testing: 0.0035,
            Pattern.voucher_cash_out: 0.004,
            Pattern.void_after_sale: 0.0015,
        },
        lookalikes={
            Pattern.refund: 0.006,
            Pattern.sweethearting: 0.04,
            Pattern.card_testing: 0.008,
            Pattern.voucher_cash_out: 0.008,
            Pattern.void_after_sale: 0.0015,
        },
        payments=(*["card"] * 6, *["cash"] * 2, *["mobile"] * 5, *["voucher"] * 3),
        prices=130,
        refunded_in="mobile",
        tested_with="mobile",
        overridden=0.8,
    ),
}
"""Those with fraud, by name: `shifted` is what `usual` may become."""


def scenario_named(name: str | None) -> Scenario:
    """The scenario of a name; None: without fraud.

    Raises:
        SettingError: there is none of that name.
    """
    if name is None:
        return HONEST
    if name not in SCENARIOS:
        raise SettingError(f"no fraud '{name}' is simulated; use {' or '.join(SCENARIOS)}")
    return SCENARIOS[name]
