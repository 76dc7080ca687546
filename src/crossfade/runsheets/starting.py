"""A runsheet to start from: ``crossfade runsheet new``."""

from string import Template
from typing import Final

START: Final = Template("""\
# yaml-language-server: $$schema=./runsheet.schema.json
# The schema: crossfade runsheet schema > runsheet.schema.json
# What is missing here is "not planned", and a review says so: crossfade runsheet review $file
runsheet: 1
name: $name
version: "0.1"

calendar:
  start: $start
  first_week: 1
  last_week: 4

# The hub's own rollout; kind: command or http for any other system.
target:
  kind: hub

slos:
  errors: {metric: error_rate, kind: minimum, max: 0.1%, investigate: 1%, roll_back: 5%}
  p99: {metric: latency_p99_ms, kind: minimum, max: 300, investigate: 500, roll_back: 1000}
  loss: {metric: data_loss, kind: minimum, max: 0}

rollback:
  budget: PT15M
  automatic: true
  steps:
    - {id: share, title: Put the share to 0, budget: PT5M, do: share.zero, verify: share.achieved}
    - {id: check, title: Confirm the service, budget: PT10M, do: lanes.probe, verify: service.healthy}

roles:
  devops: {members: [your-name]}

phases:
  - id: preparation
    title: Preparation
    first_week: 1
    last_week: 2
    steps:
      - {id: baseline, title: Measure before anything moves, kind: measure, run: baseline.complete, week: 1, day: 1}
    exit:
      - {id: baseline, check: baseline.complete}

  - id: canary
    title: First share
    first_week: 3
    last_week: 3
    share: 5%
    bake: P4D
    entry_signoffs:
      - {roles: [devops], about: The first 5 %}
    steps:
      - {id: open, title: Begin at share 0, kind: hub, run: rollout.start, args: {name: $name}, week: 3, day: 2}
      - {id: share-5, title: 5 %, kind: share, share: 5%, week: 3, day: 2}
    exit:
      - {id: errors, slo: errors}
      - {id: p99, slo: p99}

  - id: everybody
    title: Everybody
    first_week: 4
    last_week: 4
    share: 100%
    entry_signoffs:
      - {roles: [devops], about: The whole fleet}
    steps:
      - {id: share-100, title: 100 %, kind: share, share: 100%, week: 4, day: 1}
    exit:
      - {id: errors, slo: errors}
      - {id: p99, slo: p99}
      - {id: loss, slo: loss}
""")


def starting(name: str, start: str, file: str) -> str:
    """The text of a small runsheet that lints clean and is not ready: ``start`` is a Monday, ``YYYY-MM-DD``."""
    return START.substitute(name=name, start=start, file=file)
