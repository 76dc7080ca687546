#!/bin/sh
# Make a virtual environment with pip. Usage: venv.sh FOLDER [PYTHON]
# Uses the first Python that is new enough; asks for nothing else and never changes the machine.
set -eu
folder=$1

say() {
    printf 'error: %s\ntry: %s\n' "$1" "$2" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for python in ${2:-python3 python3.13 python3.12 python3.11 python}; do
    new_enough "$python" && break
    python=
done
[ -n "$python" ] || say "no Python of 3.11 or above was found" "install one, or name it: make PYTHON=/path/to/python3.11"

# A Python without ensurepip (Debian's, by default) can still lend its own pip.
if "$python" -m venv "$folder" >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$folder"
if "$python" -m pip --version >/dev/null 2>&1 && "$python" -m venv --without-pip "$folder" >/dev/null 2>&1; then
    "$python" -m pip -q --python "$folder" install pip && exit 0
fi
rm -rf "$folder"
say "$python cannot make a virtual environment here" "install its venv module (Debian: apt-get install python3-venv), or name another: make PYTHON=/path/to/python3.11"
