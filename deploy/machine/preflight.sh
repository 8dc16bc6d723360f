#!/bin/sh
# Says whether Maskwright can work on this machine: one line for each thing that was looked at, with what would be right.
#
#   sh deploy/machine/preflight.sh install   what an installation needs
#   sh deploy/machine/preflight.sh run       the same, and what a running stack needs: memory, shared memory, free ports
#
# Lines begin with "ok: " or "no: "; the exit status is 1 where one says no. Nothing is downloaded, installed or left
# behind, and nothing but a POSIX shell, awk and df is needed: there may be no Python yet.
set -u
LC_ALL=C export LC_ALL
purpose=${1:-install}
proc=${PREFLIGHT_PROC:-/proc}         # other places for the tests
shm=${PREFLIGHT_SHM:-/dev/shm}
cgroup=${PREFLIGHT_CGROUP:-/sys/fs/cgroup}
status=0

GLIBC=35                              # 2.x: manylinux_2_35 is the tag of nvidia-pytriton's wheel
INSTALL_MB=2000 READY_MB=200          # .venv and models as installed: 1,600 MB; logs and data of a first day
TEMP_MB=450                           # all wheels, which pip keeps there until it installs them
MEMORY_MB=1400                        # the whole stack with TRITON_INSTANCES=1, having served a photo: 1,300 MB
SHM_MB=43                             # what deploy/embedded/hardware.py needs for the least it goes down to

ok() { printf 'ok: %s\n' "$*"; }
no() { printf 'no: %s\n' "$*"; status=1; }

check_system() {
    system=$(uname -s)
    if [ "$system" != Linux ]; then
        no "this is $system; the servers are programs for Linux: use a Linux machine, a virtual machine or WSL 2"
        exit 1                        # the other checks ask Linux
    fi
    machine=$(uname -m) bits=$(getconf LONG_BIT 2>/dev/null || echo 64)
    case $machine in
        x86_64 | amd64 | aarch64 | arm64)
            if [ "$bits" = 64 ]; then ok "Linux on $machine"
            else no "programs here are of $bits bits; a 64-bit system is needed, on x86-64 or ARM64"; fi ;;
        *) no "the processor is $machine; there are builds for x86-64 and ARM64 (aarch64) alone" ;;
    esac
}

check_libc() {
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
    case $libc in
        "glibc 2."[0-9]*)
            minor=${libc#glibc 2.} minor=${minor%%[!0-9]*}
            if [ "$minor" -ge $GLIBC ]; then ok "$libc"
            else no "$libc is too old, Triton needs 2.$GLIBC: Debian 12, Ubuntu 22.04, Fedora 36, RHEL 10 or later"; fi ;;
        *) no "the C library is not glibc (Alpine has musl); Triton needs glibc 2.$GLIBC: use Debian 12, Ubuntu 22.04 or later" ;;
    esac
}

check_processor() {
    case ${machine:-} in x86_64 | amd64) ;; *) return ;; esac
    if ! grep -q '^flags' "$proc/cpuinfo" 2>/dev/null || grep -Eq '^flags.* avx( |$)' "$proc/cpuinfo"; then
        ok "the processor has AVX"
    else
        no "the processor lacks AVX, which the models' programs use; in a virtual machine choose the host's own (QEMU: -cpu host)"
    fi
}

# MB that are free for this user in the file system of a folder, and where that is mounted.
free_mb() {
    df -Pk "$1" 2>/dev/null | awk 'NR > 1 && match($0, /[0-9]+ +[0-9]+%/) {
        split(substr($0, RSTART), part, " "); printf "%.0f\n", part[1] / 1024; exit }'
}
mount_of() { df -Pk "$1" 2>/dev/null | awk 'NR > 1 { sub(/^.*% +/, ""); print; exit }'; }

check_disk() {
    need=$INSTALL_MB temp=${TMPDIR:-/tmp}
    [ -e .venv/.installed ] && need=$READY_MB
    if [ "$need" = $READY_MB ]; then :
    elif [ ! -d "$temp" ] || [ ! -w "$temp" ]; then no "the temporary folder $temp cannot be written: set TMPDIR to one that can"
    elif [ "$(mount_of "$temp")" = "$(mount_of .)" ]; then need=$((need + TEMP_MB))
    else check_room "$temp" $TEMP_MB "set TMPDIR to a folder with more"; fi
    check_room "$PWD" "$need" "make room, or move the checkout"
}

check_room() {
    have=$(free_mb "$1")
    if [ -z "$have" ]; then ok "free disk of $1: unknown"
    elif [ "$have" -ge "$2" ]; then ok "$have MB are free in $1"
    else no "$have MB are free in $1, $2 MB are needed: $3"; fi
}

# A script is made and run, and a link: what .venv consists of.
check_folder() {
    case $PWD in *:* | *"
"*) no "the folder's name $PWD has a colon or a line break, which no PATH can hold: rename it"; return ;; esac
    probe=.preflight.$$
    trap 'rm -f "$probe" "$probe.link"' EXIT
    if ! (printf '#!/bin/sh\nexit 0\n' >"$probe") 2>/dev/null; then
        no "$PWD cannot be written by user $(id -un 2>/dev/null || id -u): make it writable, or clone into a folder of your own"
    elif ! chmod 700 "$probe" || ! "./$probe" 2>/dev/null; then
        no "programs may not be run in $PWD (mounted noexec): clone into another file system"
    elif ! ln -s "$probe" "$probe.link" 2>/dev/null; then
        no "the file system of $PWD has no symbolic links, which .venv needs: clone into another one"
    else ok "$PWD can be written and run from"; fi
}

check_memory() {
    have=$(awk '$1 == "MemTotal:" { printf "%.0f\n", $2 / 1024 }' "$proc/meminfo" 2>/dev/null)
    for file in "$cgroup/memory.max" "$cgroup/memory/memory.limit_in_bytes"; do
        limit=$(awk 'NR == 1 && /^[0-9]+$/ { printf "%.0f\n", $1 / 1048576 }' "$file" 2>/dev/null)
        if [ -n "$limit" ] && [ "$limit" -lt "${have:-$limit}" ]; then have=$limit; fi
    done
    if [ -z "$have" ]; then ok "memory: unknown"
    elif [ "$have" -ge $MEMORY_MB ]; then ok "$have MB of memory"
    else no "$have MB of memory, the stack needs $MEMORY_MB MB: give the machine or the container more"; fi
}

check_shared_memory() {
    have=$(free_mb "$shm")
    if [ ! -d "$shm" ] || [ ! -w "$shm" ]; then no "$shm, shared memory, is not there or cannot be written: mount a tmpfs there"
    elif [ -z "$have" ]; then ok "shared memory: unknown"
    elif [ "$have" -ge $SHM_MB ]; then ok "$have MB of shared memory are free"
    else no "$have MB are free in $shm, Triton needs $SHM_MB MB and more for large photos: docker run --shm-size=1g," \
        "in Kubernetes an emptyDir of medium Memory"; fi
}

check_tools() {
    if command -v setpriv >/dev/null 2>&1; then ok "setpriv is here"
    else no "the program setpriv is missing, servers are started with it: install util-linux"; fi
}

# The value of the first variable that is set; one like tcp://10.0.0.1:80 is Kubernetes', and no port of ours.
number() {
    for name in "$@"; do
        value='' && eval "value=\${$name:-}"
        case $value in "" | *[!0-9]*) ;; *) echo "$value"; return ;; esac
    done
}
is_set() {
    for name in "$@"; do eval "[ -n \"\${$name:-}\" ]" && return; done
    return 1
}

# Whether Triton is the stack's own, at the port `grpc`; models at another machine need nothing here.
own_triton() {
    grpc=$(number TRITON_GRPC_PORT) grpc=${grpc:-8001}
    [ "${TRITON_GRPC_URL:-${TRITON_URL:-127.0.0.1:$grpc}}" = "127.0.0.1:$grpc" ]
}

# Each port with the setting that moves it, as deploy/embedded/stack.py takes them: "SETTING PORT HOST".
listeners() {
    host=${API_HOST:-${HOST:-127.0.0.1}} own=127.0.0.1 port=$(number API_PORT PORT)
    echo "API_PORT ${port:-8000} $host"
    case ${PROMETHEUS_ENABLED:-${ENABLE_METRICS:-}} in [Ff]alse | FALSE | 0 | [Nn]o | [Oo]ff) ;;
        *) port=$(number PROMETHEUS_PORT); [ -z "$port" ] || echo "PROMETHEUS_PORT $port $host" ;; esac
    if own_triton; then
        echo "TRITON_GRPC_PORT $grpc $own"
        port=$(number TRITON_HTTP_PORT); [ -z "$port" ] || echo "TRITON_HTTP_PORT $port $own"
        port=$(number TRITON_METRICS_PORT); echo "TRITON_METRICS_PORT ${port:-8002} $own"
    fi
    case ${DB_USE_DATABASE:-} in [Ff]alse | FALSE | 0 | [Nn]o | [Oo]ff) return ;; esac
    port=$(number WORKER_PORT) count=$(number WORKER_PROCESSES)
    awk -v first="${port:-8004}" -v count="${count:-1}" -v host="$host" \
        'BEGIN { for (i = 0; i < count; i++) print "WORKER_PORT", first + i, host }'
    case ${DATABASE_URL:-} in '' | mysql* | maria* | sqlite* | file:* | mongodb* | redis* | mssql* | sqlserver* | prisma*) url='' ;;
        *) url=given ;; esac
    [ -n "$url" ] || is_set POSTGRES_DSN DB_HOST || { port=$(number POSTGRES_PORT); echo "POSTGRES_PORT ${port:-5432} $own"; }
    is_set KAFKA_BOOTSTRAP_SERVERS || { port=$(number KAFKA_PORT); echo "KAFKA_PORT ${port:-9092} $own"; }
    is_set MINIO_ENDPOINT && return
    port=$(number S3_PORT)
    awk -v first="${port:-9000}" -v own=$own \
        'BEGIN { for (i = 0; i < 5; i++) { print "S3_PORT", first + i, own; print "S3_PORT", first + 10000 + i, own } }'
}

# A listening socket of the kernel's table: state 0A; its address is written in hexadecimal, backwards.
taken() {
    awk 'FNR > 1 && $4 == "0A" { split($2, part, ":"); print part[1], part[2] }' "$proc/net/tcp" "$proc/net/tcp6" 2>/dev/null
}

# Whether a launcher is this folder's, and not one that has the number of another that was killed.
holds_lock() {
    lock=$(cd "$(dirname "$state")" 2>/dev/null && pwd -P)/lock
    ls -l "$proc/$1/fd" >/dev/null 2>&1 || return 0
    ls -l "$proc/$1/fd" 2>/dev/null | grep -qF -- "-> $lock"
}

check_ports() {
    state=${MASKWRIGHT_HOME:-.maskwright}/stack.json
    pid=$(sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' "$state" 2>/dev/null | head -n 1)
    if [ -n "$pid" ] && grep -q deploy.embedded "$proc/$pid/cmdline" 2>/dev/null && holds_lock "$pid"; then
        ok "the ports are the running stack's"
        return
    fi
    busy=$({ taken; echo; listeners; } | awk '
        function every(address) { return address ~ /^0*$/ }
        function loopback(address) { return address ~ /0100007F$/ || address ~ /^0*01000000$/ }
        NF == 2 { count++; address[count] = $1; port[count] = $2 }
        NF == 3 {
            hexadecimal = sprintf("%04X", $2)
            local = $3 == "127.0.0.1" || $3 == "localhost" || $3 == "::1"
            for (i = 1; i <= count; i++)
                if (port[i] == hexadecimal && (!local || every(address[i]) || loopback(address[i]))) {
                    if (!($2 in told)) print "port " $2 " is taken by another program: move " $1 " to a free one"
                    told[$2]
                }
        }')
    if [ -z "$busy" ]; then ok "the ports are free"; return; fi
    status=1
    printf '%s\n' "$busy" | sed 's/^/no: /'
}

check_system
check_libc
check_processor
check_folder
check_disk
if [ "$purpose" = run ]; then
    check_tools
    if own_triton; then
        check_memory
        check_shared_memory
    fi
    check_ports
fi
exit $status
