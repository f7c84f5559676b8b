"""Files with arrays that a stranger may hand over, each format read behind one door (`door.py`)."""
