"""The bench's manifest.csv: one row a file, lossless members and their codings alike."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from jobs.bench.chain import SharedChain
from jobs.bench.contents import Content

if TYPE_CHECKING:
    from jobs.bench.decoders import Member

COLUMNS = tuple(
    "file content source split clip decoder kind class seed psnr_db gradient_ratio sharp ms_a_frame parameters "
    "frames height width top left start chain codec crf preset gop bframes scale crop_top crop_left fps "
    "first_codec first_kbps first_encoder".split()
)


@dataclass(frozen=True, slots=True)
class Row:
    """One file. chain: None for the lossless member; psnr_db and gradient_ratio compare it with the camera's frames
    before any coding. ms_a_frame: processor time of decoding on this machine, 0 where nothing was decoded.
    """

    file: str
    content: Content
    member: Member
    chain: SharedChain | None
    psnr_db: float
    gradient_ratio: float
    sharp: bool
    ms_a_frame: float
    parameters: str
    frames: int
    height: int
    width: int

    def cells(self) -> dict[str, Any]:
        """The row as text by column; empty where a column does not apply."""
        clip, member = self.content.clip, self.member
        top, left = self.content.box[:2]
        coded: dict[str, Any] = {"chain": "raw", "fps": float(clip.fps)}
        if self.chain is not None:
            codec = self.chain.codec
            crop_top, crop_left = (codec.crop or (0, 0, 0, 0))[:2]
            coded = {
                "chain": self.chain.name,
                "codec": codec.codec,
                "crf": codec.crf,
                "preset": codec.preset,
                "gop": codec.gop,
                "bframes": "" if codec.bframes is None else codec.bframes,
                "scale": codec.scale,
                "crop_top": crop_top,
                "crop_left": crop_left,
                "fps": round(float(self.chain.fps), 3),
            }
        return {
            "file": self.file,
            "content": self.content.id,
            "source": clip.source,
            "split": clip.split.value,
            "clip": clip.name,
            "decoder": member.slug,
            "kind": member.kind,
            "class": member.cls,
            "seed": member.seed,
            "psnr_db": self.psnr_db,
            "gradient_ratio": self.gradient_ratio,
            "sharp": str(self.sharp).lower(),
            "ms_a_frame": self.ms_a_frame,
            "parameters": self.parameters,
            "frames": self.frames,
            "height": self.height,
            "width": self.width,
            "top": top,
            "left": left,
            "start": self.content.start,
            "first_codec": clip.first.codec,
            "first_kbps": clip.first.kbps,
            "first_encoder": clip.first.encoder,
            **coded,
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """One decoder over all contents: means of PSNR, gradient ratio and time, and how many contents it kept sharp."""

    kind: str
    decoder: str
    cls: str
    contents: int
    psnr_db: float
    gradient_ratio: float
    sharp: int
    ms_a_frame: float


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """One line a decoder, one for all simulated ones together; the untouched member is left out."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.chain is None and row.member.kind != "camera":
            member = row.member
            key = (member.kind, "simulated", "") if member.kind == "D" else (member.kind, member.slug, member.cls)
            groups.setdefault(key, []).append(row)
    return [
        Summary(
            *key,
            contents=len(group),
            psnr_db=sum(row.psnr_db for row in group) / len(group),
            gradient_ratio=sum(row.gradient_ratio for row in group) / len(group),
            sharp=sum(row.sharp for row in group),
            ms_a_frame=sum(row.ms_a_frame for row in group) / len(group),
        )
        for key, group in sorted(groups.items())
    ]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Writes the whole manifest; it replaces an older one in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(row.cells() for row in rows)
    os.replace(part, path)


def write_labelled(path: Path, rows: Sequence[Row]) -> None:
    """Writes what can be enrolled and learned from, as `enroll --manifest` and `evaluate --learn-with` read it.

    Only coded files: camera footage as camera, real networks (A, B) as processors of it. Hard negatives, prototypes and
    simulated decoders are left out, since they are nobody's signature.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "generator", "source"))
        for row in rows:
            if row.chain is not None and row.member.kind in ("camera", "A", "B"):
                filmed = row.member.kind == "camera"
                label, maker = ("camera", "") if filmed else ("processed", row.member.slug)
                writer.writerow((row.file, label, maker, row.content.clip.source))
    os.replace(part, path)


def show_summaries(console: Console, found: Sequence[Summary], *, as_json: bool) -> None:
    """Prints one line a decoder, or one JSON list."""
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    table = Table(box=None)
    for column in ("kind", "decoder", "class or net", "contents", "dB", "gradient", "sharp", "ms a frame"):
        text = column in ("kind", "decoder", "class or net")
        table.add_column(column, justify="left" if text else "right", no_wrap=column in ("kind", "decoder"))
    for one in found:
        figures = (f"{one.psnr_db:.1f}", f"{one.gradient_ratio:.2f}", f"{one.sharp}", f"{one.ms_a_frame:.0f}")
        table.add_row(one.kind, one.decoder, one.cls, str(one.contents), *figures)
    console.print(table)
