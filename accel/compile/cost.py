"""Predicts clock cycles."""


def stage_cycles(stage, walk, params, config, *, first, last):
    """Cycles of one stage."""
    tile = max(walk.tile_words, params.groups)
    pixels = walk.rows * walk.columns
    return pixels * (tile * (walk.tiles - 1) + max(walk.tile_words, params.last_groups)) + 40


def program_cycles(plans, config):
    """Cycles of one image."""
    return sum(plan.predicted_cycles for plan in plans)
