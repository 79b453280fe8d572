"""An ordinary video of two people in close contact -> their 3D motion, contacts and looks."""

__version__ = "0.1.0"
