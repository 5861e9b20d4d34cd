"""The verbs of Makersmark: sweep, scan, enroll, match again, look up, evaluate."""
