"""How well integers represent a float network."""
