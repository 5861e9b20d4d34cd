"""What is learned from footage: small decoders of published architectures (``decoders``)."""
