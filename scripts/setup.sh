#!/usr/bin/env bash
# Installs what Bitloom needs. The Makefile calls it; it may be run again at any time.
#   scripts/setup.sh python PYTHON VENV   Python packages of requirements.lock into VENV
#   scripts/setup.sh tools                simulators and compilers, from Debian's packages
#   scripts/setup.sh bench                synthesis for the benchmarks, the same way
# TORCH_INDEX=URL chooses where torch comes from; empty: a CPU build.
set -euo pipefail
cd "$(dirname "$0")/.."

CPU_TORCH_INDEX=https://download.pytorch.org/whl/cpu

stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

install_packages() {  # Debian packages, as root or through sudo that asks for no password
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo)
    else
      stop "missing: $*. Without root this script cannot install it. Run: sudo apt-get install $*"
    fi
  fi
  command -v apt-get >/dev/null || stop "missing: $*. Install these (Debian's names) with your package manager."
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

install_tools() {  # arguments: command=package; installs the packages of the commands that are missing
  local missing=() tool
  for tool in "$@"; do
    command -v "${tool%=*}" >/dev/null || missing+=("${tool#*=}")
  done
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

install_torch() {  # before the lock, so that the lock finds its version present
  local pip=$1 version
  version=$(sed -n 's/^torch==//p' requirements.lock)
  if [ -n "${TORCH_INDEX:-}" ]; then
    "$pip" install -q --no-deps --index-url "$TORCH_INDEX" "torch==$version"
  elif ! "$pip" install -q --no-deps "torch==$version+cpu" 2>/dev/null; then
    "$pip" install -q --no-deps --index-url "$CPU_TORCH_INDEX" "torch==$version" ||
      stop "no CPU build of torch $version at $CPU_TORCH_INDEX. Choose another index: make setup TORCH_INDEX=URL"
  fi
}

install_python() {
  local python=$1 venv=$2
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    stop "$python is not Python 3.11 or newer. Name one: make setup PYTHON=/path/to/python3.11"
  "$python" -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  [ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
  export PIP_DISABLE_PIP_VERSION_CHECK=1
  echo "setup: PyTorch into $venv (some hundred megabytes) ..."
  install_torch "$venv/bin/pip"
  echo "setup: the packages of requirements.lock into $venv ..."
  "$venv/bin/pip" install -q -r requirements.lock
  # The lock holds the build backend too, so nothing unlocked is fetched for building.
  "$venv/bin/pip" install -q --no-deps --no-build-isolation -e .
}

case "${1:-}" in
  python) install_python "${2:-python3}" "${3:-.venv}" ;;
  tools) install_tools g++=g++ make=make perl=perl iverilog=iverilog ghdl=ghdl tclsh=tcl ;;
  bench) install_tools yosys=yosys ;;
  *) stop "usage: scripts/setup.sh python PYTHON VENV | tools | bench" ;;
esac
