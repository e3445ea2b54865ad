"""The web shop and the apps: sessions of several events, some of which end with a checkout."""

from collections.abc import Sequence

from resources.simulation import words
from resources.simulation.streams.catalogue import Catalogue
from resources.simulation.streams.chance import Dice, share
from resources.simulation.streams.encoding import happened_us, instant_text, uuid7
from resources.simulation.streams.openloop import TopicSlots

THINK_SECONDS = 8
"""About how long a visitor takes from one event to the next; at most twice as long."""

RUN = 12
"""Two sessions follow one another in a lane, with so many events together."""

SHORTEST = 2
VISITORS = 1000
"""For each that is there at a time."""

KNOWN = share(0.4)
BUYING = share(0.45)
MIXING = 2_654_435_761
QUERIES = [word.lower() for category in words.CATEGORIES.values() for word in category]


class Sessions:
    """The events of a shop.

    As many visitors are there at once as the rate needs: each has a lane, and the lanes take turns,
    in an order that changes from round to round.

    Args:
        identity: what the random numbers are drawn from.
        slots: when the events are sent.
        devices: what visitors use.
        mark: the letter with which visitors and sessions begin.
    """

    def __init__(
        self,
        identity: str,
        slots: TopicSlots,
        catalogue: Catalogue,
        devices: Sequence[str],
        mark: str,
    ) -> None:
        self._dice = Dice(identity, "visits", mark)
        self._sessions = Dice(identity, "sessions", mark)
        self._slots = slots
        self._catalogue = catalogue
        self._devices = devices
        self._mark = mark
        self._lanes = slots.within(THINK_SECONDS, least=4)

    def throw(self, k: int) -> tuple[int, ...]:
        """The random numbers of the k-th event; the last is nobody's here."""
        return self._dice.throw(k)

    def linked(self, k: int) -> bool:
        """No event is tied to another."""
        return False

    def event(self, k: int, numbers: tuple[int, ...]) -> tuple[str, str]:
        """Key and value of the k-th event, from its throw."""
        turn, place = divmod(k, self._lanes)
        lane = (place + turn * MIXING % 4_294_967_291) % self._lanes
        run, step = divmod(turn + lane * 5, RUN)
        number = 2 * (run * self._lanes + lane)
        length = SHORTEST + self._sessions.throw(number)[15] % (RUN - 2 * SHORTEST + 1)
        if step >= length:
            number, step, length = number + 1, step - length, RUN - length
        session = self._sessions.throw(number)
        visitor = session[0] % (self._lanes * VISITORS)
        customers = self._catalogue.customers
        known = session[1] < KNOWN and customers
        customer = f'"{customers[visitor % len(customers)]}"' if known else "null"
        at_us = happened_us(self._slots.due_us(k), numbers[3])
        session_id = f"{self._mark}{session[2]:08x}{number:x}"
        return session_id, (
            f'{{"event_id":"{uuid7(at_us, k, numbers[13] << 32 | numbers[14])}",'
            f"{self._step(step, length, session, numbers)},"
            f'"event_time":"{instant_text(at_us)}",'
            f'"sent_at":"{instant_text(self._slots.due_us(k))}",'
            f'"session_id":"{session_id}","visitor_id":"{self._mark}{visitor}",'
            f'"customer_id":{customer},'
            f'"device":"{self._devices[session[4] % len(self._devices)]}"}}'
        )

    def _step(
        self, step: int, length: int, session: tuple[int, ...], numbers: tuple[int, ...]
    ) -> str:
        """Type, page, query, SKU and quantity of a session's event."""
        buying = session[3] < BUYING and length > SHORTEST
        sku, _ = self._catalogue.products[numbers[7] % len(self._catalogue.products)]
        if buying and step == length - 1:
            return '"type":"checkout","page":"/checkout","query":null,"sku":null,"quantity":null'
        if buying and step == length - 2:
            quantity = 1 + numbers[8] % 4
            return (
                f'"type":"add_to_basket","page":"/products/{sku}","query":null,'
                f'"sku":"{sku}","quantity":{quantity}'
            )
        if step and numbers[9] & 3 == 0:
            query = QUERIES[numbers[10] % len(QUERIES)]
            return f'"type":"search","page":null,"query":"{query}","sku":null,"quantity":null'
        if step == 0 and session[5] & 1:
            return '"type":"page_view","page":"/","query":null,"sku":null,"quantity":null'
        return (
            f'"type":"page_view","page":"/products/{sku}","query":null,'
            f'"sku":"{sku}","quantity":null'
        )
