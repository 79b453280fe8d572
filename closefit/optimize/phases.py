"""The phases of the joint optimisation in their order: appearance, depth order, joint."""

from dataclasses import asdict
from typing import Any

from closefit.optimize.depth_order import DepthOrderPhase, OrderState
from closefit.optimize.loop import JointLoop


class Phases:
    """Drives the steps of a loop, with the depth-order phase before the first joint step."""

    def __init__(self, loop: JointLoop, depth_order: DepthOrderPhase | None) -> None:
        """Start with the first phase of the plan; None skips the depth order."""
        self.loop = loop
        self.depth_order = depth_order

    def advance(self) -> dict[str, float]:
        """Do the next step, or check some depth orders; returns the latest weighted terms."""
        check = self.depth_order
        if self.loop.phase == "joint" and check is not None and not check.finished:
            check.advance()
        else:
            self.loop.step()
        return self.loop.curves[-1] if self.loop.curves else {}

    @property
    def swapped_frames(self) -> int:
        """Frames in which the depth order was swapped."""
        return 0 if self.depth_order is None else self.depth_order.state.swapped_frames

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue later exactly as without the interruption."""
        check = self.depth_order
        order = None if check is None else asdict(check.state)
        return {"loop": self.loop.state_dict(), "depth_order": order}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self.loop.load_state_dict(saved["loop"])
        if self.depth_order is not None:
            self.depth_order.state = OrderState(**saved["depth_order"])
