"""Kinds of numbers that settings have, with the range of each; NaN and infinity are in none."""

from typing import Annotated

from msgspec import Meta

Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Count = Annotated[int, Meta(ge=1, le=100_000)]
CountOrNone = Annotated[int, Meta(ge=0, le=100_000)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Rate = Annotated[float, Meta(ge=0.0, le=1000.0)]
"""Of learning; too high a rate diverges, which the fit notices."""
Weight = Annotated[float, Meta(ge=0.0, le=1e7)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e7)]
Degrees = Annotated[float, Meta(ge=0.0, le=180.0)]
Ratio = Annotated[float, Meta(ge=0.01, le=100.0)]
"""Of two lengths or speeds."""
