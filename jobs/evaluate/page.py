"""The report of an evaluation as one self-contained HTML page: tables, plots, remarks; no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jobs.evaluate import figures, plots
from jobs.evaluate.report import EvaluationReport
from jobs.evaluate.tables import Section, sections

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
p.lead{white-space:pre-line}
table{border-collapse:collapse;font-size:13px}
div.wide{overflow-x:auto}
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd;vertical-align:top}
th:first-child,td:first-child{text-align:left;white-space:pre}
thead th{border-bottom:2px solid #888}
td.text{text-align:left}
div.plots{display:flex;flex-wrap:wrap;gap:1rem}
pre{white-space:pre-wrap;font-size:12px;background:#f6f6f6;padding:.8rem}
svg{max-width:100%;height:auto}
@media print{body{max-width:none}h2{break-after:avoid}table,svg{break-inside:avoid}}
"""


def to_html(report: EvaluationReport) -> str:
    """The whole report; the same tables as its Markdown, with the plots."""
    curves = report.curves
    drawn = [plots.roc_plot(curves), plots.risk_plot(curves), plots.llr_plot(curves), plots.grid_plot(report.grid)]
    shown = "".join(f"<figure>{one}</figure>" for one in drawn if one)
    parts = ["<h1>Evaluation</h1>", f'<p class="lead">{escape(report.headline())}</p>']
    if shown:
        parts.append(f'<div class="plots">{shown}</div>')
    parts += [_table(section) for section in sections(report)]
    taken = plots.confusion_plot(curves.confusion)
    if taken:
        note = "Rows are true, columns the best-fitting maker; the diagonal is right. The largest classes only."
        parts.append(f'<h2>Who is taken for whom</h2><p>{note}</p><div class="wide">{taken}</div>')
    parts += _list("Remarks", report.remarks())
    parts += _list("Left out", [f"{row.name} ({row.kind}): {row.message}" for row in report.left_out])
    meaning = escape((figures.__doc__ or "").strip())
    parts.append(f"<h2>What each figure means</h2><pre>{meaning}</pre>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Evaluation, {report.n} clips</title><style>{_STYLE}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _table(section: Section) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in section.columns)
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in section.rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2>{escape(section.title)}</h2><div class="wide">{table}</div>'


def _cell(text: str) -> str:
    words = any(letter.isalpha() for letter in text) and " of " not in text and " to " not in text
    return f'<td class="text">{escape(text)}</td>' if words else f"<td>{escape(text)}</td>"


def _list(title: str, sentences: Sequence[str]) -> list[str]:
    if not sentences:
        return []
    return [f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"]
