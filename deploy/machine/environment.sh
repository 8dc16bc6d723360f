#!/bin/sh
# Makes .venv, or brings it up to date; quick where there is nothing to do.
#
#   sh deploy/machine/environment.sh install   for any target of the Makefile
#   sh deploy/machine/environment.sh run       the same, and asks whether a stack can run here
#
# What cannot work is said before anything is downloaded.
set -u
here=deploy/machine
stamp=.venv/.installed                # holds the folder that it was made in: programs in .venv name it
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONINSPECT PYTHONWARNINGS

works() { [ ! -e .venv/.unfinished ] && .venv/bin/python -I -c 'import pip' 2>/dev/null && stayed; }
stayed() { [ ! -s "$stamp" ] || [ "$(cat "$stamp")" = "$(pwd -P)" ]; }
newer() { find pyproject.toml deploy/triton/requirements.txt -newer "$stamp" 2>/dev/null; }
up_to_date() { [ -e "$stamp" ] && [ -z "$(newer)" ] && works; }

installed=no && up_to_date && installed=yes
[ "$installed $1" = "yes install" ] && exit 0
if ! said=$(sh $here/preflight.sh "$1"); then
    printf '%s\n' "$said" | sed -n 's/^no: /✗ /p' >&2
    exit 1
fi
[ $installed = no ] || exit 0

whole='' && works && whole=$PWD/.venv/bin/python
python=$(sh $here/interpreter.sh "$whole") || exit 1
exec "$python" -I $here/environment.py
