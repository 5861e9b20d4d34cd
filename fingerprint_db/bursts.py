"""A file's windows in order of time: the crops of one burst side by side, frames under their numbers in the film."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.window import WindowFingerprint

Floats = NDArray[np.float64]
_Part = tuple[Floats, str, dict[str, Floats], tuple[tuple[int, int], ...]]  # times, picture types, series, crops
_NEAR = 0.2  # of a frame: how far a burst may lie off the frame grid before numbers across bursts mean nothing
# Containers round the rate or the times; films run at one of these (frames a second).
_WHOLE = (8.0, 10.0, 12.0, 12.5, 15.0, 16.0, 20.0, 24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 120.0)
_RATES = (*_WHOLE, *(rate / 1.001 for rate in (24.0, 30.0, 48.0, 60.0, 120.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """Consecutive frames looked at together.

    times: (T,) seconds; numbers: (T,) frame numbers counted from the file's first burst; picture_types: (T,) letters.
    series: by name (crops, T), NaN where a frame has no value. crops: (top, left) of each, as the rows of a series.
    """

    times: Floats
    numbers: NDArray[np.int64]
    picture_types: str
    series: Mapping[str, Floats]
    crops: tuple[tuple[int, int], ...]
    _means: dict[str, Floats] = field(default_factory=dict, init=False, repr=False)  # asked for again and again

    @property
    def frames(self) -> int:
        return len(self.times)

    def mean(self, name: str) -> Floats:
        """The series averaged over crops, (T,), not to be written to; NaN where no crop has a value."""
        found = self._means.get(name)
        if found is None:
            found = self._means[name] = self._mean(name)
        return found

    def _mean(self, name: str) -> Floats:
        rows = self.series[name]
        known = np.isfinite(rows)
        total = np.where(known, rows, 0.0).sum(axis=0)
        count = known.sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """All bursts of a file in order of time. rate: frames a second.

    steady: frame numbers of different bursts are on one grid, so that a rhythm may be followed from burst to burst.
    """

    bursts: tuple[Burst, ...]
    rate: float
    steady: bool

    @property
    def frames(self) -> int:
        return sum(burst.frames for burst in self.bursts)

    @property
    def seconds(self) -> float:
        """How much of the film was looked at."""
        return self.frames / self.rate if self.rate > 0 else 0.0


def timeline(windows: Sequence[WindowFingerprint], fps: float) -> Timeline | None:
    """The file's bursts; fps: what its container says, 0 when unknown. None where no window kept its series."""
    grouped: dict[int, list[WindowFingerprint]] = defaultdict(list)
    for window in windows:
        if len(window.traces.get("time", ())):
            grouped[window.burst].append(window)
    parts: list[_Part] = []
    for members in grouped.values():
        frames = min(len(w.traces["time"]) for w in members)
        names = sorted(set.intersection(*(set(w.traces) for w in members)))
        series = {name: np.array([w.traces[name][:frames] for w in members], np.float64) for name in names}
        start = members[0].start_s
        times = start + np.nan_to_num(series["time"][0])
        types = members[0].picture_types[:frames].ljust(frames, "?")
        parts.append((times, types, series, tuple((w.top, w.left) for w in members)))
    if not parts:
        return None
    parts.sort(key=lambda part: float(part[0][0]))
    parts = _linked(parts)
    steps = np.concatenate([np.diff(times) for times, *_ in parts])
    steps = steps[steps > 0]
    rate, off = _rate(float(1 / np.median(steps)) if len(steps) else 0.0, fps, [times for times, *_ in parts])
    origin = float(parts[0][0][0])
    bursts = []
    for times, types, series, crops in parts:
        first = round((float(times[0]) - origin) * rate) if rate > 0 else 0
        numbers = first + np.round((times - times[0]) * rate).astype(np.int64) if rate > 0 else np.arange(len(times))
        bursts.append(Burst(times, numbers, types, series, crops))
    return Timeline(tuple(bursts), rate, off <= _NEAR)


def _linked(parts: Sequence[_Part]) -> list[_Part]:
    """Bursts of which one goes on where the other ends, as one: the first frame of the second knows its change then."""
    out: list[_Part] = []
    for times, types, series, crops in parts:
        change = series.get("fine_change")
        if out and crops == out[-1][3] and change is not None and bool(np.isfinite(change[:, 0]).all()):
            before = out[-1]
            names = before[2].keys() & series.keys()
            together = {name: np.concatenate([before[2][name], series[name]], axis=1) for name in sorted(names)}
            out[-1] = (np.concatenate([before[0], times]), before[1] + types, together, crops)
        else:
            out.append((times, types, series, crops))
    return out


def _rate(seen: float, stated: float, times: Iterable[Floats]) -> tuple[float, float]:
    """The rate on whose grid the bursts lie best, and how far off they lie at worst, in frames."""
    if seen <= 0:
        return stated, 1.0
    candidates = [rate for rate in (stated, *_RATES, seen) if abs(rate / seen - 1) < 0.04]
    every = np.concatenate(list(times))
    every = every - every[0]
    best = (seen, np.inf)
    for rate in candidates:
        at = every * rate
        off = float(np.quantile(np.abs(at - np.round(at)), 0.95))
        if off < best[1] - 1e-3:
            best = (rate, off)
    return best
