#!/bin/sh
# Exit status 0 only if exactly this share is in force.
set -eu
[ "$(cat share.txt)" = "$1" ] || { echo "the file says $(cat share.txt), not $1"; exit 1; }
