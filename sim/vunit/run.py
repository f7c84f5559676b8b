"""Run the VHDL benches of all registered block cases with VUnit and GHDL: python sim/vunit/run.py --help."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from sim.vunit.main import main

    sys.exit(main())
