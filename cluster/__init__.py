"""How work is spread over machines: executors, killable children, outcomes. Knows no video and no fingerprints."""
