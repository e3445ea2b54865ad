"""Windows over events equal a plain computation, whatever the batches, order and lateness."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import batched
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from worlds import SILVER, STREAM, Streams

from aquifer.stream_table import StreamTable

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE, FIVE_MINUTES, HALF_AN_HOUR = (timedelta(minutes=n) for n in (1, 5, 30))

Event = dict[str, Any]
