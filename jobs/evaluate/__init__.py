"""Accuracy of the whole path on labelled clips; sources are kept apart, and nulls stand beside every figure.

Read a manifest (``manifest.load_manifest``), gather what there is to know of its clips (``gather.gather``), judge and
measure them (``run.evaluate``), show the outcome (``report.EvaluationReport``).
"""
