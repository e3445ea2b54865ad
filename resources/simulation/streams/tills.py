"""The tills: sales, returns and voids in the stores."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from random import Random

from resources.simulation.streams.catalogue import Catalogue
from resources.simulation.streams.chance import FULL, Dice, share
from resources.simulation.streams.dirt import DIRTY
from resources.simulation.streams.disguise import Disguise
from resources.simulation.streams.encoding import happened_us, instant_text, money_text, uuid7
from resources.simulation.streams.fraud import Frauds
from resources.simulation.streams.openloop import TopicSlots
from resources.simulation.streams.receipt import Line, Receipt
from resources.simulation.streams.scenarios import Scenario
from resources.simulation.streams.voids import Part, Till, Voids

SECONDS_A_SALE = 20
"""About how long a register takes for one; so there are as many registers as the rate needs."""

MOST_REGISTERS = 999
NEVER_SOLD = 0.05
"""The share of all products that a store does not sell."""

UNSOLD_RETURNED = share(0.0002)
RETURNED = share(0.02) + UNSOLD_RETURNED
SOLD_WITHIN_SECONDS = 3600
"""How far back the sale of what is returned lies at most."""

BURST = share(1 / 120)
"""The share of a store's minutes in which four times as many people buy."""

SKEWED = share(0.005)
"""The share of registers whose clock is wrong by up to four minutes."""

QUANTITIES = [*[1] * 150, *[2] * 56, *[3] * 18, *[4] * 14, *[6] * 12, *[12] * 6]
"""By a byte of chance."""

ONE_LINE, TWO_LINES = share(0.64), share(0.9)
MEMBER = share(0.35)
DISCOUNTED = 20
"""Of 256 lines, those with a tenth off."""


class Tills:
    """The events of all tills.

    Args:
        identity: what the random numbers are drawn from.
        slots: when the events are sent.
        scenario: how people buy, and what fraud there is.
    """

    def __init__(
        self, identity: str, slots: TopicSlots, catalogue: Catalogue, scenario: Scenario
    ) -> None:
        self._dice = Dice(identity, "tills")
        self._slots = slots
        self._stores = catalogue.stores
        self._members = catalogue.members
        fair = slots.rate * SECONDS_A_SALE / len(self._stores)
        self._registers = min(MOST_REGISTERS, max(4, round(fair)))
        products = [(sku, price * scenario.prices // 100) for sku, price in catalogue.products]
        self._sold, self._unsold = _assortments(identity, self._stores, products)
        self._payments = scenario.payments
        self._voids = Voids(identity, slots.rate, len(self._stores), self._registers)
        self.frauds = Frauds(
            identity,
            scenario,
            slots,
            self._voids,
            len(self._stores),
            self._registers,
            self._members,
        )
        self._disguise = Disguise(scenario, products)
        self._skews = _skews(identity, len(self._stores), self._registers)
        self._crowds = Dice(identity, "crowds")
        self._crowd = lru_cache(maxsize=256)(self._shares_of_minute)

    def throw(self, k: int) -> tuple[int, ...]:
        """The random numbers of the k-th event; the last is nobody's here."""
        return self._dice.throw(k)

    def linked(self, k: int) -> bool:
        """Whether other events or a verdict are tied to the k-th: it must arrive as it is."""
        return self.frauds.act(k) is not None or self._voids.part(k) is not None

    def event(self, k: int, numbers: tuple[int, ...]) -> tuple[str, str]:
        """Key and value of the k-th event, from its throw."""
        return self._written(k, numbers, self._receipt(k, numbers))

    def event_id(self, k: int) -> str:
        """The id of the k-th event."""
        numbers = self._dice.throw(k)
        return _event_id(k, self._receipt(k, numbers).at_us, numbers)

    def _receipt(self, k: int, numbers: tuple[int, ...]) -> Receipt:
        act = self.frauds.act(k)
        part = act.part if act else self._voids.part(k)
        if part is not None and part.voids is not None:
            sale = self._sale(part.voids, self._dice.throw(part.voids))
            at_us = self._at(k, numbers, sale.till)
            return Receipt("void", sale.till, at_us, sale.shift, sale.payment, None, (), part.voids)
        receipt = self._return(k, numbers) if part is None and numbers[0] < RETURNED else None
        return receipt or self._sale(k, numbers)

    def _written(self, k: int, numbers: tuple[int, ...], receipt: Receipt) -> tuple[str, str]:
        store, register = self._stores[receipt.till.store], receipt.till.register + 1
        member = f'"{receipt.member}"' if receipt.member else "null"
        lines = ",".join(
            [
                f'{{"sku":"{line.sku}","quantity":{line.quantity},'
                f'"unit_price":"{money_text(line.price)}",'
                f'"discount":"{money_text(line.discount)}"}}'
                for line in receipt.lines
            ]
        )
        voided = "" if receipt.voids is None else f',"voids":"{self.event_id(receipt.voids)}"'
        return f"{store}/{register}", (
            f'{{"event_id":"{_event_id(k, receipt.at_us, numbers)}","type":"{receipt.type}",'
            f'"event_time":"{instant_text(receipt.at_us)}",'
            f'"sent_at":"{instant_text(self._slots.due_us(k))}",'
            f'"store_id":"{store}","register":{register},'
            f'"cashier_id":"{store}{register:03d}{receipt.shift}","member_id":{member},'
            f'"payment":"{receipt.payment}"{voided},"lines":[{lines}]}}'
        )

    def _sale(self, k: int, numbers: tuple[int, ...]) -> Receipt:
        act = self.frauds.act(k)
        part = act.part if act else self._voids.part(k)
        till = self._till(k, numbers, part)
        at_us = self._at(k, numbers, till)
        if part is not None and part.voided_before is not None:
            # Before the void, which is sent first.
            happened = self._slots.due_us(part.voided_before) - 5_000_000 - numbers[3] % 40_000_000
            at_us = happened + self._skews[till.store][till.register]
        count = 1 if numbers[6] < ONE_LINE else 2 if numbers[6] < TWO_LINES else 3
        lines = [self._line(till.store, number) for number in numbers[7 : 7 + count]]
        member = None
        if numbers[4] < MEMBER and self._members:
            member = self._members[numbers[4] % len(self._members)]
        payment = self._payments[numbers[5] & 15]
        sale = Receipt("sale", till, at_us, self._shift(k), payment, member, lines)
        return self._disguise.of(act, sale, numbers) if act else sale

    def _return(self, k: int, numbers: tuple[int, ...]) -> Receipt | None:
        """Something brought back: sold in this store within the last hour, or never."""
        if numbers[0] < UNSOLD_RETURNED:
            till = self._till(k, numbers, None)
            sku, price = self._unsold[till.store][numbers[7] % len(self._unsold[till.store])]
            brought = Line(sku, -1, price, 0)
        else:
            sold = self._earlier_sale(k, numbers[1])
            if sold is None:
                return None
            till = Till(sold.till.store, numbers[2] % self._registers)
            line = sold.lines[numbers[7] % len(sold.lines)]
            brought = Line(line.sku, -1 - numbers[8] % line.quantity, line.price, 0)
        at_us = self._at(k, numbers, till)
        payment = self._payments[numbers[5] & 15]
        return Receipt("return", till, at_us, self._shift(k), payment, None, [brought])

    def _earlier_sale(self, k: int, number: int) -> Receipt | None:
        reach = min(k, self._slots.within(SOLD_WITHIN_SECONDS))
        for earlier in range(k - 1 - number % reach if reach else -1, -1, -1):
            numbers = self._dice.throw(earlier)
            arrives = numbers[0] >= RETURNED and numbers[15] >= DIRTY
            if arrives and not self.linked(earlier):
                return self._sale(earlier, numbers)
        return None

    def _line(self, store: int, number: int) -> Line:
        # The square makes the first products of a store the popular ones.
        chance, sold = number & 0xFFFF, self._sold[store]
        sku, price = sold[chance * chance * len(sold) >> 32]
        quantity = QUANTITIES[number >> 16 & 0xFF]
        discount = price * quantity // 10 if number >> 24 < DISCOUNTED else 0
        return Line(sku, quantity, price, discount)

    def _till(self, k: int, numbers: tuple[int, ...], part: Part | None) -> Till:
        if part is not None and part.till is not None:
            return part.till
        crowd = self._crowd(self._slots.due_us(k) // 60_000_000)
        store = bisect_right(crowd, numbers[1] * crowd[-1] // FULL)
        return Till(store, numbers[2] % self._registers)

    def _at(self, k: int, numbers: tuple[int, ...], till: Till) -> int:
        happened = happened_us(self._slots.due_us(k), numbers[3])
        return happened + self._skews[till.store][till.register]

    def _shift(self, k: int) -> str:
        return "ABC"[self._slots.due_us(k) // 28_800_000_000 % 3]

    def _shares_of_minute(self, minute: int) -> list[int]:
        """How many people buy at each store, added up: by its size, the hour, and bursts."""
        hour = minute // 60 % 24
        numbers = self._crowds.throw(minute)
        return list(
            accumulate(
                (80 - 4 * store % 48)
                * (12 - abs(14 - (hour + store % 3) % 24) // 2)
                * (4 if numbers[store % len(numbers)] < BURST else 1)
                for store in range(len(self._stores))
            )
        )


def _event_id(k: int, at_us: int, numbers: tuple[int, ...]) -> str:
    return uuid7(at_us, k, numbers[13] << 32 | numbers[14])


def _assortments(
    identity: str, stores: Sequence[str], all_products: Sequence[tuple[str, int]]
) -> tuple[list[list[tuple[str, int]]], list[list[tuple[str, int]]]]:
    """For each store the products that it sells, popular ones first, and those that it does not."""
    sold: list[list[tuple[str, int]]] = []
    unsold: list[list[tuple[str, int]]] = []
    for store in stores:
        products = list(all_products)
        Random(f"{identity}/assortment/{store}").shuffle(products)
        few = max(1, round(len(products) * NEVER_SOLD))
        unsold.append(products[:few])
        sold.append(products[few:] or products)
    return sold, unsold


def _skews(identity: str, stores: int, registers: int) -> list[list[int]]:
    """For each store and register, by how many microseconds its clock is ahead."""
    dice = Dice(identity, "clocks")
    throws = [[dice.throw(s * MOST_REGISTERS + r) for r in range(registers)] for s in range(stores)]
    return [
        [
            (10_000_000 + numbers[1] % 230_000_000) * (1 if numbers[2] & 1 else -1)
            if numbers[0] < SKEWED
            else 0
            for numbers in of_store
        ]
        for of_store in throws
    ]
