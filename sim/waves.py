"""Where waveforms of failing runs go."""

from accel import folders

WAVES = folders.output_dir("waves")
