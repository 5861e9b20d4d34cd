"""What every cue is: definition, unit, family, source, and which way it points when something is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Family = Literal["physical", "reconstruction", "spatio-temporal", "assembly"]
Alarm = Literal["high", "low", "both"]
Pooling = Literal["median", "peak"]

PERIODS = (2, 3, 4)
OURS = "ours"


@dataclass(frozen=True, slots=True)
class CueDefinition:
    """What a cue measures in one window of consecutive frames.

    neutral: the value that says nothing was found, also where the evidence is absent (too few frames, a flat picture).
    alarm: on which side of the range of camera footage a value is worth a look. source: a paper or ``ours``.
    pooling: how a file's value comes from its windows where it is held against camera footage: what is there all along
    is the ``median``, what happens once is the ``peak`` (upper decile; see ``ranges.pooled``).
    """

    definition: str
    unit: str
    family: Family
    source: str
    alarm: Alarm = "high"
    pooling: Pooling = "median"
    neutral: float = 0.0


def _periods(of: str) -> str:
    return f"of the {of}: share of the variation that repeats every {{}} frames, less what chance gives"


_OF_CHANGE = _periods("frame-to-frame change")
_OF_DETAIL = _periods("fine detail's strength, differences between I, P and B frames removed")
_R2 = "ours (adjusted R squared of the position modulo the period)"

CUES: Mapping[str, CueDefinition] = MappingProxyType(
    {
        "repeated_frames": CueDefinition(
            "frames that show the frame before them again", "share of frame pairs, 0..1", "assembly", OURS
        ),
        "difference": CueDefinition(
            "median over frame pairs of the mean absolute change of luma",
            "8-bit levels",
            "spatio-temporal",
            OURS,
            "both",
        ),
        **{f"difference_period_{p}": CueDefinition(_OF_CHANGE.format(p), "0..1", "assembly", _R2) for p in PERIODS},
        **{f"sharpness_period_{p}": CueDefinition(_OF_DETAIL.format(p), "0..1", "assembly", _R2) for p in PERIODS},
        "texture_flicker": CueDefinition(
            "typical jump of the fine detail's strength from frame to frame", "dB", "spatio-temporal", OURS
        ),
        "light_jump": CueDefinition(
            "largest change of mean luma beyond a steady drift", "8-bit levels", "physical", OURS, pooling="peak"
        ),
        "object_change": CueDefinition(
            "sudden local change: a 32 px patch's largest change over its usual one",
            "dB",
            "spatio-temporal",
            OURS,
            pooling="peak",
        ),
        "motion_roughness": CueDefinition(
            "second difference in time over first difference across two frames: smooth motion is low, noise 1.7",
            "ratio",
            "spatio-temporal",
            OURS,
        ),
        "camera_speed": CueDefinition(
            "median global shift from frame to frame, by correlation of 64 px patches or, failing that, of all",
            "px per frame",
            "physical",
            "Kuglin and Hines 1975",
            "both",
        ),
        "camera_jerk": CueDefinition(
            "root mean square change of the global shift", "px per frame squared", "physical", "Kuglin and Hines 1975"
        ),
        "blur_with_motion": CueDefinition(
            "how far detail falls as change rises, minus the correlation of their logarithms",
            "-1..1",
            "physical",
            OURS,
            "low",
        ),
        "high_frequency_deficit": CueDefinition(
            "power at 1/8..1/4 cycles per px above that at 3/8..1/2",
            "dB",
            "reconstruction",
            "after Durall et al. 2020",
        ),
        "upsampling_peak": CueDefinition(
            "strongest of the spectral lines at 1/8, 1/4 and 1/2 of the sampling rate over the surroundings",
            "dB",
            "reconstruction",
            "after Zhang, Karaman and Chang 2019",
        ),
        "blockiness": CueDefinition(
            "step across the 8 px grid over the step elsewhere",
            "ratio minus 1",
            "reconstruction",
            "after Wang, Sheikh and Bovik 2002",
        ),
        "noise": CueDefinition(
            "noise of the calmest tenth of 16 px patches", "8-bit levels", "reconstruction", "Immerkaer 1996", "both"
        ),
        "banding": CueDefinition(
            "of the pixels in gentle gradients, those equal to all four neighbours",
            "share, 0..1",
            "reconstruction",
            OURS,
        ),
        "saturated": CueDefinition(
            "luma at or beyond nominal black or white",
            "share of pixels, 0..1",
            "physical",
            "nominal range of ITU-R BT.601 and BT.709",
        ),
        "chroma_detail": CueDefinition(
            "fine detail of colour against that of luma at equal resolution", "dB", "reconstruction", OURS, "both"
        ),
        "light_turn": CueDefinition(
            "largest turn of the direction in which the shading brightens from one frame to the next, the camera's "
            "shift taken out, beyond a steady turn",
            "degrees",
            "physical",
            "direction of shading after Lee and Rosenfeld 1985",
            pooling="peak",
        ),
        "camera_shake": CueDefinition(
            "root mean square distance of the camera's path from the parabola that fits it best",
            "px",
            "physical",
            "ours; parabolic paths as in Grundmann, Kwatra and Essa 2011",
            "both",
        ),
        "camera_jitter": CueDefinition(
            "of the change of the global shift beyond a steady acceleration, the share faster than a quarter of the "
            "frame rate: white jitter is about a half, a hand's sway is low",
            "share, 0..1",
            "physical",
            OURS,
        ),
        "camera_glide": CueDefinition(
            "camera speed over camera shake, 0.1 px added to both: a virtual camera glides without shaking",
            "dB",
            "physical",
            OURS,
        ),
        "blur_along_motion": CueDefinition(
            "gradient energy across the motion over that along it, where 64 px patches move 3 px and more a frame: a "
            "shutter blurs along the motion",
            "dB",
            "physical",
            "after Yitzhaky and Kopeika 1997",
            "both",
        ),
        "line_width": CueDefinition(
            "width at half height of the thin lines (text, wires, twigs), from the contrast at 1 px over that at 3 px",
            "px",
            "reconstruction",
            "ours; a Gaussian line profile",
        ),
        "still_flicker": CueDefinition(
            "upper quartile over 32 px patches at rest of the typical jump of their fine detail's strength, "
            "differences between I, P and B frames removed",
            "dB",
            "spatio-temporal",
            OURS,
        ),
        "texture_boiling": CueDefinition(
            "of the fine detail in 32 px patches at rest, the share that is drawn anew from frame to frame (1 minus "
            "its correlation)",
            "share, 0..1",
            "spatio-temporal",
            OURS,
        ),
        "object_gain": CueDefinition(
            "at the strongest sudden local change, fine detail after it over that before: above 0 something appears, "
            "below 0 something vanishes",
            "dB",
            "spatio-temporal",
            OURS,
            "both",
            "peak",
        ),
        "region_break": CueDefinition(
            "largest drop of a tracked 64 px patch's likeness to the frame before below its usual, beyond that of the "
            "whole picture: a change of shape that motion does not explain",
            "correlation, 0..2",
            "spatio-temporal",
            "normalised correlation after Lewis 1995",
            pooling="peak",
        ),
        "identity_drift": CueDefinition(
            "median over tracked 64 px patches of the likeness lost between the first and the last frame, beyond what "
            "one frame loses",
            "correlation per second",
            "spatio-temporal",
            "normalised correlation after Lewis 1995",
        ),
    }
)
CUE_NAMES: tuple[str, ...] = tuple(CUES)
