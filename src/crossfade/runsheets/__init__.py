"""Runsheets as files: read, linted, described, planned, drawn and compared. Nothing here runs one.

``load`` is the way in: a path, or the name of a runsheet that ships, to a typed ``Runsheet`` with the place of
every value and the digest that sign-offs and runs are bound to.
"""

from crossfade.runsheets.loader import Loaded, digest_of, load, parse, shipped_names
from crossfade.runsheets.problems import Place, Problem

__all__ = ["Loaded", "Place", "Problem", "digest_of", "load", "parse", "shipped_names"]
