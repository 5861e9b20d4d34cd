"""Two benches: how fast this machine decodes and fingerprints (speed), and ground truth with decoders in hand."""
