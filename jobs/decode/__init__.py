"""From a file to windows of native pixels, in a child process that may be killed.

Public surface: VideoFacts, DecodeRequest, DecodeSummary, decode (see protocol.py), decoder_version.
"""
