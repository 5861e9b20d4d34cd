"""Artefact cues: named numbers with units that an analyst looks at, in four families. Hints, never a verdict.

``definitions`` says what each cue is; ``physical``, ``reconstruction`` and ``spatiotemporal`` measure them (the fourth
family, how a video was assembled, is measured in ``rhythm``); ``motion`` is what they share; ``ranges`` says what
camera footage shows.
"""
