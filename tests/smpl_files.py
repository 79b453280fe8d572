"""Files of SMPL's layout, made of random numbers (no part of SMPL itself)."""

import numpy as np

from closefit.body.skeleton import PARENTS


def random_smpl() -> dict[str, np.ndarray]:
    """Random arrays of SMPL's size and names."""
    generator = np.random.default_rng(0)
    regressor = np.zeros((24, 6890))
    for row in regressor:
        row[generator.choice(6890, 5, replace=False)] = generator.dirichlet(np.ones(5))
    weights = np.zeros((6890, 24))
    for column in range(4):
        weights[np.arange(6890), generator.integers(0, 24, 6890)] += 0.1 + column
    return {
        "v_template": generator.normal(0, 0.5, (6890, 3)),
        "shapedirs": generator.normal(0, 0.02, (6890, 3, 10)),
        "posedirs": generator.normal(0, 0.005, (6890, 3, 207)),
        "J_regressor": regressor,
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(24)], dtype=np.uint32),
        "f": generator.integers(0, 6890, (13776, 3)).astype(np.uint32),
    }
