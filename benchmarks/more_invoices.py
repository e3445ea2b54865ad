"""Invoices of a retailer with several times the shops, from daily files of one.

Each shop repeats the real lines as invoices of its own: other numbers, customers and hours of the
day, and for one product in fifty a number that no other shop knows. What is dirty stays so. The
lines of a shop stay in order, and its customers and products are the same every day, so that what
comes back was bought before. Seed, shops and files decide every byte.
"""

import argparse
import csv
import gzip
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from random import Random
from string import ascii_uppercase

from common import invoice_files

SEED = 17

NUMBER = re.compile(r"([AC]?)[0-9]{6}")
FIRST_NUMBER, LAST_NUMBER = 100_000, 999_999
"""Six digits are what the contract of invoice lines takes; all prefixes share one sequence."""

CUSTOMER = re.compile(r"([0-9]+)(\.0)?")
CUSTOMERS_A_SHOP = 100_000

PLAIN_PRODUCT = re.compile(r"[0-9]{5}")
OWN_PRODUCTS = 50
"""One in so many products is a shop's own."""

LETTERS = [first + second for first in ascii_uppercase for second in ascii_uppercase]
"""What tells a shop's own products from those of others; there can be no more shops."""

MOST_MINUTES = 180
"""By how much a shop's day is earlier or later than the real one."""


class OutOfNumbers(ValueError):
    """More invoices than six digits tell apart."""


@dataclass(frozen=True)
class Shop:
    """A shop: how it renames what the real lines name."""

    place: int
    seed: int

    @cached_property
    def _own(self) -> int:
        return Random(f"{self.seed}/{self.place}").randrange(OWN_PRODUCTS)

    def product(self, code: str) -> str:
        own = PLAIN_PRODUCT.fullmatch(code) and int(code) % OWN_PRODUCTS == self._own
        return code + LETTERS[self.place] if own else code

    def customer(self, text: str) -> str:
        told = CUSTOMER.fullmatch(text)
        if not told:
            return text
        return f"{int(told[1]) + self.place * CUSTOMERS_A_SHOP}{told[2] or ''}"

    def hours(self, day: str, texts: set[str]) -> dict[str, str]:
        """The day's times at this shop: all moved by the same minutes, within the day."""
        times = {text: datetime.fromisoformat(text) for text in texts}
        first, last = min(times.values()), max(times.values())
        minutes = Random(f"{self.seed}/{self.place}/{day}").randint(
            max(-MOST_MINUTES, -(first.hour * 60 + first.minute)),
            min(MOST_MINUTES, 1439 - (last.hour * 60 + last.minute)),
        )
        by = timedelta(minutes=minutes)
        return {text: (at + by).isoformat(sep=" ") for text, at in times.items()}


def repeat(files: Sequence[Path], folder: Path, times: int, seed: int = SEED) -> int:
    """Write each file into a folder with so many times its invoices; how many lines.

    Raises:
        OutOfNumbers: the files hold too many invoices for so many shops.
    """
    count = sum(len(_invoices(_lines(file))) for file in files)
    if FIRST_NUMBER + times * count > LAST_NUMBER + 1:
        raise OutOfNumbers(
            f"six digits do not tell {times} x {count:,} invoices apart; take fewer days"
        )
    folder.mkdir(parents=True, exist_ok=True)
    shops = [Shop(place, seed) for place in range(times)]
    number, written = FIRST_NUMBER, 0
    for file in files:
        header, *lines = _lines(file)
        day = file.name.removesuffix(".gz")
        invoices = _invoices(lines)
        with (folder / day).open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target, lineterminator="\n")
            writer.writerow(header)
            for shop in shops:
                numbers = {
                    invoice: f"{invoice[:-6]}{number + n}" for n, invoice in enumerate(invoices)
                }
                writer.writerows(_renamed(lines, shop, day, numbers))
                number += len(invoices)
        written += times * len(lines)
    return written


def _invoices(lines: Iterable[list[str]]) -> list[str]:
    """The numbers of the invoices, as they come."""
    return [*dict.fromkeys(line[0] for line in lines if NUMBER.fullmatch(line[0]))]


def _renamed(
    lines: Sequence[list[str]], shop: Shop, day: str, numbers: dict[str, str]
) -> Iterator[list[str]]:
    # Each value comes in many lines.
    _, codes, _, _, times, _, customers, _ = map(set, zip(*lines, strict=True))
    products = {code: shop.product(code) for code in codes}
    people = {customer: shop.customer(customer) for customer in customers}
    hours = shop.hours(day, times)
    for number, code, description, quantity, at, price, customer, country in lines:
        yield [
            numbers.get(number, number),
            products[code],
            description,
            quantity,
            hours[at],
            price,
            people[customer],
            country,
        ]


def _lines(file: Path) -> Iterator[list[str]]:
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8", newline="") as source:
        yield from csv.reader(source)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files are written")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--days", type=int, help="how many of the first files; all")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    try:
        lines = repeat(invoice_files()[: given.days], given.folder, given.times, given.seed)
    except OutOfNumbers as error:
        sys.exit(str(error))
    print(f"{lines:,} lines in {given.folder}")
