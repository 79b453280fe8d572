"""The built-in clip: two people made, dressed, moved and filmed by closefit, with exact truth."""

from closefit.demo.clip import DemoClip, make_clip

__all__ = ["DemoClip", "make_clip"]
