#!/bin/sh
# Prints the path of a Python that Maskwright runs on, the first one that fits:
#
#   $1, if given, then the one named by PYTHON, then python3.13, python3.12, python3.11, python3 and python, in every folder of PATH;
#   one that uv has or fetches; uv itself comes from PATH, or by the pip of any Python, into the folder .python.
#
# Where none is found it asks for one, in one line, within five seconds where there is no network.
set -u
LC_ALL=C export LC_ALL
versions='3.13 3.12 3.11'
range='3.11 to 3.13'
home=$PWD/.python
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONINSPECT PYTHONWARNINGS

# Packages come as wheels for CPython, 64 bits, glibc. Triton's python backend is linked to libpython; for 3.13 it brings
# its own. The answer is "fits PATH", "old VERSION" or "not WHY".
question='
import sys
def answer():
    name = "%d.%d" % sys.version_info[:2]
    if sys.implementation.name != "cpython" or name not in sys.argv[1].split():
        return "old is %s %s" % (sys.implementation.name.replace("cpython", "Python"), name)
    import os, sysconfig
    if sys.maxsize < 2 ** 32:
        return "not has 32 bits"
    if sys.abiflags:
        return "not is a special build (%s)" % sys.abiflags
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
    except ValueError:
        return "not is built without glibc"
    try:
        import bz2, ctypes, lzma, sqlite3, ssl, venv, zlib
    except ImportError as error:
        return "not lacks a module: %s" % error
    library = "libpython%s.so.1.0" % name
    def loads(path):
        try:
            return bool(ctypes.CDLL(path))
        except OSError:
            return False
    own = os.path.join(sysconfig.get_config_var("LIBDIR") or "", library)
    if name != "3.13" and not loads(library) and not loads(own):
        return "not lacks %s (Debian and Ubuntu: apt-get install libpython%s)" % (library, name)
    for seed in "ensurepip", "pip":
        try:
            __import__(seed)
            return "fits " + sys.executable
        except ImportError:
            pass
    return "not lacks venv and pip (Debian and Ubuntu: apt-get install python%s-venv)" % name
print(answer())
'

say() { printf '%s\n' "$*" >&2; }
limit() { if command -v timeout >/dev/null 2>&1; then timeout 5 "$@"; else "$@"; fi; }

# Ask one interpreter, and end the script where it fits. One that hangs or fails, as pyenv's shims of absent versions do,
# says nothing. Of those that do not fit, one that lacks little is kept for the message before one that is too old.
try() {
    [ -x "$1" ] || return
    answer=$(limit "$1" -I -c "$question" "$versions" 2>/dev/null)
    case $answer in
        "fits "*) found "${answer#fits }" "$1" ;;
        "old "*) [ -n "$old" ] || old="$1 ${answer#old }" ;;
        "not "*) [ -n "$lacking" ] || lacking="$1 ${answer#not }" ;;
    esac
}
found() {
    [ -z "$unfit" ] || say "PYTHON=$PYTHON does not fit (${lacking:-${old:-it does not run}}): taking $1"
    printf '%s\n' "$1"
    exit 0
}

old='' lacking='' unfit=''
search() {
    [ -z "$1" ] || try "$1"
    if [ -n "${PYTHON:-}" ]; then
        try "$(command -v "$PYTHON" 2>/dev/null)"
        unfit=yes
    fi
    for name in python3.13 python3.12 python3.11 python3 python; do
        IFS=:
        for folder in $PATH; do
            unset IFS
            try "${folder:-.}/$name"
        done
        unset IFS
    done
}

# Run a command that downloads into hidden folders of a folder, as uv does. It is ended, and fails, where no byte has come in $patience tenths of a
# second; when the first one comes, $news is said.
download() {
    folder=$1 arrived='' && shift
    mkdir -p "$folder"
    "$@" >"$home/log" 2>&1 &
    job=$!
    while kill -0 $job 2>/dev/null; do
        if [ -z "$arrived" ]; then
            arrived=$(cd "$folder" && find . -path './.[a-z]*/*' -type f -size +0 2>/dev/null | head -n 1)
            [ -z "$arrived" ] || [ -z "$news" ] || say "$news"
            if [ -z "$arrived" ] && [ $patience -le 0 ]; then
                kill $job 2>/dev/null
                wait $job 2>/dev/null
                echo 'no answer from the network' >"$home/log"
                return 1
            fi
            patience=$((patience - 1))
        fi
        sleep 0.1
    done
    wait $job
}

# pip's own settings say from where; those that would put it elsewhere, or build it, are overruled.
find_uv() {
    uv=$(command -v uv 2>/dev/null) && "$uv" --version >/dev/null 2>&1 && return
    uv=$home/uv/bin/uv
    "$uv" --version >/dev/null 2>&1 && return
    for name in python3 python3.14 python3.10 python3.9 python3.8 python3.13 python3.12 python3.11 python; do
        limit "$name" -I -m pip --version >/dev/null 2>&1 || continue
        mkdir -p "$home/tmp/.pip"
        download "$home/tmp" env PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_CONSTRAINT='' TMPDIR="$home/tmp/.pip" \
            "$name" -m pip --disable-pip-version-check --retries 0 install --no-cache-dir --no-deps --upgrade \
            --only-binary=:all: --prefix= --target="$home/uv" uv
        status=$?
        rm -rf "$home/tmp"
        patience=20
        return $status
    done
    return 1
}

fetch() {
    for path in "$home"/versions/*/bin/python3; do try "$path"; done
    mkdir -p "$home" 2>/dev/null || return
    patience=28 news=''
    find_uv || return
    for version in $versions; do
        try "$(cd / && "$uv" python find --no-python-downloads "$version" 2>/dev/null)"
    done
    news="no Python $range here (${lacking:-${old:-none}}): fetching Python ${versions%% *} with uv, into .python"
    rm -rf "$home"/versions/.[a-z]*
    download "$home/versions" env UV_PYTHON_INSTALL_DIR="$home/versions" UV_CACHE_DIR="$home/cache" UV_HTTP_RETRIES=0 \
        "$uv" python install --no-bin "${versions%% *}"
    for path in "$home"/versions/*/bin/python3; do try "$path"; done
}

search "${1:-}"
fetch
why=${lacking:-${old:-there is none}}
cause=$(grep -v '^ *$' "$home/log" 2>/dev/null | tail -n 1 | sed 's/^ *cause: *//' | cut -c 1-100)
case $cause in *"No matching distribution"*) cause="the package index has no uv, or cannot be reached" ;; esac
say "Python $range is needed: $why; none could be fetched${cause:+ ($cause)}." \
    "Install one with its venv module, or name one: make PYTHON=/path/to/python3.12"
exit 1
