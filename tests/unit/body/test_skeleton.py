from closefit.body.skeleton import (
    DEPTHS,
    EVALUATION_JOINTS,
    JOINT_INDEX,
    JOINT_NAMES,
    JOINT_PART,
    LEFT_RIGHT,
    LEVELS,
    MIRROR,
    NUM_JOINTS,
    PARENTS,
    PARTS,
)


def test_levels_in_sequence_are_the_joints_in_order() -> None:
    assert [joint for level in LEVELS for joint in level] == list(range(NUM_JOINTS))
    assert all(DEPTHS[joint] == DEPTHS[PARENTS[joint]] + 1 for joint in range(1, NUM_JOINTS))


def test_mirroring_twice_changes_nothing_and_respects_the_tree() -> None:
    assert [MIRROR[other] for other in MIRROR] == list(range(NUM_JOINTS))
    assert all(PARENTS[MIRROR[j]] == MIRROR[PARENTS[j]] for j in range(1, NUM_JOINTS))
    assert len(LEFT_RIGHT) == 9
    assert all(JOINT_NAMES[left].startswith("left_") for left, _ in LEFT_RIGHT)


def test_every_joint_belongs_to_one_part() -> None:
    assert sorted(joint for joints in PARTS.values() for joint in joints) == list(range(NUM_JOINTS))
    assert list(PARTS)[JOINT_PART[JOINT_INDEX["left_elbow"]]] == "left forearm"


def test_evaluation_joints_are_the_fourteen_of_the_measures() -> None:
    assert list(EVALUATION_JOINTS) == [1, 2, 4, 5, 7, 8, 12, 15, *range(16, 22)]
