"""The MAC cell inside the smallest array of multipliers that holds it, in the builds whose cells differ most."""

from sim.cases.bench import across, run_case
from sim.test_mixed_products import products_case

CASES = [
    products_case("mac_cell_8_4_2", rows=8, lanes=4, precisions=(8, 4, 2)),
    products_case("mac_cell_single_8_2_1", rows=4, lanes=4, precisions=(8, 2, 1), words=80),
]


@across(CASES)
def test_sums_of_every_mode(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
