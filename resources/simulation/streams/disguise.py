"""What acts look like on a receipt: fraud, and what honest people do alike.

Belongs here: how each pattern changes an ordinary sale. The bolder the act, the further it is from
what everybody does; no receipt gives fraud away by itself.
"""

from collections.abc import Callable, Mapping, Sequence

from resources.simulation.streams.chance import FULL
from resources.simulation.streams.fraud import Act
from resources.simulation.streams.receipt import Line, Receipt
from resources.simulation.streams.scenarios import Pattern, Scenario

Numbers = tuple[int, ...]


class Disguise:
    """Makes a sale what an act is.

    Args:
        products: SKUs with their prices in pence.
    """

    def __init__(self, scenario: Scenario, products: Sequence[tuple[str, int]]) -> None:
        self._scenario = scenario
        self._by_price = sorted(products, key=lambda product: product[1])
        self._looks: Mapping[Pattern, Callable[[Act, Receipt, Numbers], Receipt]] = {
            Pattern.refund: self._refund,
            Pattern.sweethearting: self._sweethearting,
            Pattern.card_testing: self._card_testing,
            Pattern.voucher_cash_out: self._voucher_cash_out,
            Pattern.void_after_sale: self._cash_sale,
        }

    def of(self, act: Act, sale: Receipt, numbers: Numbers) -> Receipt:
        """The receipt of an act, from an ordinary one and the event's random numbers."""
        return self._looks[act.pattern](act, sale, numbers)

    def _refund(self, act: Act, sale: Receipt, numbers: Numbers) -> Receipt:
        """Something dear; honestly, bought long ago or elsewhere."""
        sku, price = self._product(0.3 * _chance(numbers[10]) + 0.7 * act.boldness)
        lines = [Line(sku, -1 - int(3 * act.boldness * _chance(numbers[11])), price, 0)]
        payment = self._mostly(self._scenario.refunded_in, sale, numbers)
        return sale._replace(type="return", payment=payment, member=None, lines=lines)

    def _sweethearting(self, act: Act, sale: Receipt, numbers: Numbers) -> Receipt:
        """A discount, or another price, for a member; honestly, remainders and flaws."""
        off = 10 + int(60 * act.boldness)
        if _chance(numbers[10]) < self._scenario.overridden:
            lines = [line._replace(price=line.price * (100 - off) // 100) for line in sale.lines]
        else:
            lines = [
                line._replace(discount=line.price * line.quantity * off // 100)
                for line in sale.lines
            ]
        return sale._replace(member=act.member, lines=lines)

    def _card_testing(self, act: Act, sale: Receipt, numbers: Numbers) -> Receipt:
        """One cheap piece; honestly, a queue of people in a hurry."""
        sku, price = self._product((0.5 - 0.4 * act.boldness) * _chance(numbers[10]))
        payment = self._mostly(self._scenario.tested_with, sale, numbers)
        return sale._replace(payment=payment, member=None, lines=[Line(sku, 1, price, 0)])

    def _voucher_cash_out(self, act: Act, sale: Receipt, numbers: Numbers) -> Receipt:
        """Many pieces of a product; honestly, presents for a whole class or firm."""
        line = sale.lines[0]
        pieces = 4 + int(44 * act.boldness * _chance(numbers[10]))
        member = act.member if numbers[11] & 1 else None
        payment = self._mostly("voucher", sale, numbers)
        lines = [line._replace(quantity=pieces, discount=0)]
        return sale._replace(payment=payment, member=member, lines=lines)

    def _cash_sale(self, act: Act, sale: Receipt, numbers: Numbers) -> Receipt:
        return sale._replace(payment="cash", member=None)

    def _mostly(self, payment: str, sale: Receipt, numbers: Numbers) -> str:
        return payment if numbers[9] & 7 else sale.payment

    def _product(self, place: float) -> tuple[str, int]:
        """A product by its place from the cheapest, 0, to the dearest, 1."""
        return self._by_price[int(place * (len(self._by_price) - 1))]


def _chance(number: int) -> float:
    return number / FULL
