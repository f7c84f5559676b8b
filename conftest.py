"""Settings of every test: no test may fail because the machine is slow, so hypothesis has no deadline."""

from hypothesis import settings

settings.register_profile("bitloom", deadline=None)
settings.load_profile("bitloom")
