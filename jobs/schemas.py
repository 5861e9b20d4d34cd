"""The Parquet schemas, versioned in their metadata. New columns are nullable; none is ever renamed or retyped."""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 3
VERSION_KEY = b"makersmark.schema_version"


def _versioned(fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})


_NUMBERS = pa.map_(pa.string(), pa.float64())
_SERIES = pa.map_(pa.string(), pa.list_(pa.float32()))
_NEAREST = pa.list_(
    pa.struct([("generator", pa.string()), ("family", pa.string()), ("score", pa.float64())]),
)

# One row a window: place, times, vectors (raw, as computed under spec_id), cues. facts: JSON of
# the file. A file without windows has one row with burst = -1.
FINGERPRINTS = _versioned(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("spec_id", pa.string(), nullable=False),
        pa.field("sweep_id", pa.string()),
        pa.field("burst", pa.int32(), nullable=False),
        pa.field("crop", pa.int32(), nullable=False),
        pa.field("top", pa.int32(), nullable=False),
        pa.field("left", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("decoder", pa.list_(pa.float32()), nullable=False),
        pa.field("texture", pa.list_(pa.float32()), nullable=False),
        pa.field("cues", _NUMBERS, nullable=False),
        pa.field("coverage", pa.float64(), nullable=False),
        pa.field("facts", pa.string(), nullable=False),
        pa.field("traces", _SERIES),  # since version 2
        pa.field("picture_types", pa.string()),  # since version 2
        pa.field("profiles", _SERIES),  # since version 3
    ]
)

# One row a segment; a file without segments has one row whose start_s and end_s are null.
PROVENANCE = _versioned(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("uri", pa.string()),
        pa.field("spec_id", pa.string(), nullable=False),
        pa.field("snapshot_id", pa.string(), nullable=False),
        pa.field("sweep_id", pa.string()),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("segment_verdict", pa.string()),
        pa.field("segment_family", pa.string()),
        pa.field("segment_generator", pa.string()),
        pa.field("segment_llr", pa.float64()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("family", pa.string()),
        pa.field("generator", pa.string()),
        pa.field("llr", pa.float64()),
        pa.field("p_value", pa.float64()),
        pa.field("margin", pa.float64()),
        pa.field("coverage", pa.float64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("nearest", _NEAREST, nullable=False),
        pa.field("cues", _NUMBERS, nullable=False),
        pa.field("declared", pa.map_(pa.string(), pa.string()), nullable=False),
        pa.field("evidence", pa.string()),  # JSON, since version 2
    ]
)
