#!/usr/bin/env bash
# Installs what Bitloom needs. The Makefile calls it; it may be run again at any time.
#   scripts/setup.sh convert PYTHON VENV  what a conversion needs: the first packages of requirements.lock, into VENV
#   scripts/setup.sh python PYTHON VENV   all Python packages of requirements.lock into VENV
#   scripts/setup.sh tools                simulators and compilers, from Debian's packages
#   scripts/setup.sh bench                synthesis for the benchmarks, the same way
# TORCH_INDEX=URL chooses where torch comes from; empty: a CPU build.
set -euo pipefail
cd "$(dirname "$0")/.."

CPU_TORCH_INDEX=https://download.pytorch.org/whl/cpu
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_RETRIES=${PIP_RETRIES:-2}

stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

install_packages() {  # Debian packages, as root or through sudo that asks for no password
  local as_root=()
  command -v apt-get >/dev/null || stop "missing: $*. Install these (Debian's names) with your package manager."
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo)
    else
      stop "missing: $*. Without root this script cannot install it. Run: sudo apt-get install $*"
    fi
  fi
  "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" ||
    stop "apt-get could not install $* (see above). Without network access, install these packages by hand."
}

install_tools() {  # arguments: command=package; installs the packages of the commands that are missing
  local missing=() tool
  for tool in "$@"; do
    command -v "${tool%=*}" >/dev/null || missing+=("${tool#*=}")
  done
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

pip_install() {  # VENV and arguments of pip install; a failure ends in one sentence instead of pip's pages
  local venv=$1 output reason index
  shift
  output=$("$venv/bin/python" -m pip install -q "$@" 2>&1) && return
  index=$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple)
  index=${PIP_INDEX_URL:-$index}
  case " $* " in *" --index-url "*) index=$(sed 's/.*--index-url \([^ ]*\).*/\1/' <<<"$*") ;; esac
  reason=$(sed -n 's|^ *\(ERROR.*\)|\1|p' <<<"$output" | head -n 1 | cut -c1-200)
  if grep -q -i 'connection broken\|connection error\|NewConnectionError\|Max retries\|timed out' <<<"$output"; then
    stop "cannot reach the package index $index ($reason). Connect to the network, set https_proxy behind a proxy, or" \
      "give a folder of wheels: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER before the same command."
  fi
  stop "pip could not install the packages (${reason:-no reason given}). To see all it says:" \
    "$venv/bin/python -m pip install $*"
}

install_torch() {  # before the lock, so that the lock finds its version present
  local venv=$1 version
  version=$(sed -n 's/^torch==//p' requirements.lock)
  if [ -n "${TORCH_INDEX:-}" ]; then
    pip_install "$venv" --no-deps --index-url "$TORCH_INDEX" "torch==$version"
  elif ! "$venv/bin/python" -m pip install -q --no-deps "torch==$version+cpu" >/dev/null 2>&1; then
    echo "setup: a CPU build of torch comes from $CPU_TORCH_INDEX (another index: TORCH_INDEX=URL)"
    pip_install "$venv" --no-deps --index-url "$CPU_TORCH_INDEX" "torch==$version"
  fi
}

make_venv() {
  local python=$1 venv=$2
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    stop "$python is not Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11"
  "$python" -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv "$venv" ||
    stop "$python could not make the environment $venv (see above). Remove $venv and try again."
}

install_convert() {
  local python=$1 venv=$2 packages
  make_venv "$python" "$venv"
  mapfile -t packages < <(sed '/^# Everything else/,$d; /^#/d; /^$/d' requirements.lock)
  echo "setup: ${#packages[@]} packages for a conversion into $venv ..."
  pip_install "$venv" --no-deps --no-compile "${packages[@]}"  # compiling all of numpy takes longer than a conversion
}

install_python() {
  local python=$1 venv=$2
  make_venv "$python" "$venv"
  echo "setup: PyTorch into $venv (some hundred megabytes) ..."
  install_torch "$venv"
  echo "setup: the packages of requirements.lock into $venv ..."
  pip_install "$venv" -r requirements.lock
  # The lock holds the build backend too, so nothing unlocked is fetched for building.
  pip_install "$venv" --no-deps --no-build-isolation -e .
}

case "${1:-}" in
  convert) install_convert "${2:-python3}" "${3:-.venv}" ;;
  python) install_python "${2:-python3}" "${3:-.venv}" ;;
  tools) install_tools g++=g++ make=make perl=perl iverilog=iverilog ghdl=ghdl tclsh=tcl ;;
  bench) install_tools yosys=yosys ;;
  *) stop "usage: scripts/setup.sh convert PYTHON VENV | python PYTHON VENV | tools | bench" ;;
esac
