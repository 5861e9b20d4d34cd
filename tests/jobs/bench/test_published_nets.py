"""Published networks keep size and place of a frame; those whose packages are not installed are skipped."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.bench.gate import round_trip
from jobs.bench.published import NETS, PublishedNet, load
from jobs.bench.roster import choose
from jobs.encode import Rgb


def _frames() -> list[Rgb]:
    """A smooth scene that drifts by a pixel a frame: whoever shifts it or forgets a frame is found out."""
    rows, columns = np.mgrid[0:96, 0:128] / 9.0
    scene = [np.stack([np.sin(rows + k), np.cos(columns + t / 9), np.sin(rows + columns)], 2) for t, k in _TIMES]
    return [np.rint(127 + 90 * picture).astype(np.uint8) for picture in scene]


_TIMES = [(t, t / 9) for t in range(3)]


@pytest.mark.parametrize("net", NETS, ids=[net.slug for net in NETS])
def test_a_published_net_gives_every_frame_back_in_its_place(net: PublishedNet) -> None:
    if not net.available:
        pytest.skip(f"{', '.join(net.packages)} not installed")
    frames = _frames()
    out = load(net.slug)(frames)
    assert [frame.shape for frame in out] == [frame.shape for frame in frames]
    assert all(frame.dtype == np.uint8 for frame in out)
    if net.slug != "styletransfer":  # paints the scene in other colours
        here = round_trip(frames, out).psnr_db
        assert here > 19
        for shift in ((4, 0), (-4, 0), (0, 4), (0, -4)):
            assert here > round_trip(frames, [np.roll(frame, shift, (0, 1)) for frame in out]).psnr_db


def test_nets_that_are_not_installed_are_named_and_left_out() -> None:
    found, remarks = choose((), None, None, 0, 1, [])
    kinds = {decoder.slug for decoder in found if decoder.kind == "A"}
    missing = {net.slug for net in NETS} - kinds
    assert kinds == {net.slug for net in NETS if net.available}
    assert bool(missing) == any("published nets are not installed" in remark for remark in remarks)
    assert all(slug in " ".join(remarks) for slug in missing)
