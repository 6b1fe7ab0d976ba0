# Sourced by the other scripts: finds a Python that natkit runs on, and makes virtual environments.

# python_for_natkit: prints the command of a Python >= 3.11, or says how to get one and fails.
python_for_natkit() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: natkit needs Python 3.11 or later, and none was found" >&2
    echo "hint: on Debian or Ubuntu: apt-get install python3 python3-venv" >&2
    return 1
}

# bin_of DIR: where the environment in DIR keeps its programs; Windows has its own name for it.
bin_of() {
    if [ -d "$1/Scripts" ]; then echo "$1/Scripts"; else echo "$1/bin"; fi
}

# make_venv DIR: a virtual environment with pip in DIR, unless one that works is there.
make_venv() {
    local dir=$1 python
    if [ -d "$dir" ] && "$(bin_of "$dir")/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(python_for_natkit) || return 1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "error: $python has no venv module, so no environment can be made" >&2
        echo "hint: on Debian or Ubuntu: apt-get install python3-venv" >&2
        return 1
    fi
    "$python" -m venv --clear "$dir"
}

# bin_with PROGRAM: where the environment in use has its programs, or says how to make one.
bin_with() {
    local bin
    bin=$(bin_of "${VIRTUAL_ENV:-.venv}")
    if [ ! -x "$bin/$1" ]; then
        echo "error: there is no $bin/$1" >&2
        echo "hint: run scripts/test --fast first, which sets up everything in .venv" >&2
        return 1
    fi
    echo "$bin"
}
